-- ERP, first part: vendors, invoices, payments with their holds, items. What is issued does not
-- change: the app role may update only the columns that the commands move.
CREATE TABLE erp_vendors (
    tenant_id text NOT NULL REFERENCES tenants,
    vendor_id text NOT NULL,
    row_id uuid NOT NULL,
    name text NOT NULL,
    address text NOT NULL,
    bank_account text NOT NULL,
    previous_bank_account text NOT NULL DEFAULT '',
    bank_changed_by text NOT NULL DEFAULT '',
    bank_changed_at timestamptz,
    confirmation text NOT NULL DEFAULT 'none',
    confirmed_by text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    version integer NOT NULL DEFAULT 1,
    made_from text NOT NULL,
    last_command text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, vendor_id)
);
CREATE INDEX erp_vendors_page ON erp_vendors (tenant_id, created_at DESC, row_id DESC);

CREATE TABLE erp_invoices (
    tenant_id text NOT NULL REFERENCES tenants,
    invoice_id text NOT NULL,
    row_id uuid NOT NULL,
    vendor_id text NOT NULL,
    amount_cents bigint NOT NULL CHECK (amount_cents > 0),
    currency text NOT NULL,
    due date,
    status text NOT NULL DEFAULT 'issued' CHECK (status IN ('issued', 'approved')),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    approved_by text NOT NULL DEFAULT '',
    approved_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    made_from text NOT NULL,
    last_command text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, invoice_id),
    FOREIGN KEY (tenant_id, vendor_id) REFERENCES erp_vendors
);
CREATE INDEX erp_invoices_page ON erp_invoices (tenant_id, created_at DESC, row_id DESC);
CREATE INDEX erp_invoices_vendor ON erp_invoices (tenant_id, vendor_id, created_at DESC);

-- `bank_account`: where the money goes, as the vendor had it when the payment was proposed.
-- `acted`: canonical names of all who had a hand in it; none of them may release it.
-- `fact_position`: place of its newest fact; `proposed_at`: by the house's clock.
CREATE TABLE erp_payments (
    tenant_id text NOT NULL REFERENCES tenants,
    payment_id text NOT NULL,
    row_id uuid NOT NULL,
    vendor_id text NOT NULL,
    invoice_id text,
    amount_cents bigint NOT NULL CHECK (amount_cents > 0),
    currency text NOT NULL,
    bank_account text NOT NULL,
    status text NOT NULL DEFAULT 'proposed'
        CHECK (status IN ('proposed', 'approved', 'held', 'paid')),
    held_from text CHECK (held_from IN ('proposed', 'approved')),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    proposed_at timestamptz NOT NULL,
    approved_by text NOT NULL DEFAULT '',
    approved_at timestamptz,
    paid_by text NOT NULL DEFAULT '',
    paid_at timestamptz,
    acted text[] NOT NULL,
    fact_position bigint NOT NULL,
    version integer NOT NULL DEFAULT 1,
    made_from text NOT NULL,
    last_command text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, payment_id),
    FOREIGN KEY (tenant_id, vendor_id) REFERENCES erp_vendors,
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES erp_invoices,
    CHECK ((status = 'held') = (held_from IS NOT NULL))
);
CREATE INDEX erp_payments_page ON erp_payments (tenant_id, created_at DESC, row_id DESC);
CREATE INDEX erp_payments_vendor ON erp_payments (tenant_id, vendor_id, created_at DESC);
CREATE INDEX erp_payments_invoice ON erp_payments (tenant_id, invoice_id);
CREATE INDEX erp_payments_open ON erp_payments (tenant_id, status, created_at DESC)
    WHERE status <> 'paid';

-- Why a payment stands still. A hold of a person's own has no finding.
CREATE TABLE erp_holds (
    tenant_id text NOT NULL REFERENCES tenants,
    hold_id uuid NOT NULL,
    payment_id text NOT NULL,
    finding_id uuid,
    rule_id text NOT NULL DEFAULT '',
    level text NOT NULL DEFAULT '',
    title text NOT NULL,
    reason text NOT NULL,
    placed_by text NOT NULL,
    placed_at timestamptz NOT NULL,
    released_by text NOT NULL DEFAULT '',
    released_at timestamptz,
    release_note text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, hold_id),
    UNIQUE (tenant_id, payment_id, finding_id),
    FOREIGN KEY (tenant_id, payment_id) REFERENCES erp_payments
);
CREATE INDEX erp_holds_page ON erp_holds (tenant_id, placed_at DESC, hold_id DESC);

-- Vendors and documents that a grave finding named: later payments to them are held at birth.
CREATE TABLE erp_warnings (
    tenant_id text NOT NULL REFERENCES tenants,
    entity_type text NOT NULL,
    entity text NOT NULL,
    finding_id uuid NOT NULL,
    rule_id text NOT NULL,
    level text NOT NULL,
    title text NOT NULL,
    reason text NOT NULL,
    finding_time timestamptz NOT NULL,
    cleared_by text NOT NULL DEFAULT '',
    cleared_at timestamptz,
    PRIMARY KEY (tenant_id, entity_type, entity, finding_id)
);
CREATE INDEX erp_warnings_finding ON erp_warnings (tenant_id, finding_id);

CREATE TABLE erp_items (
    tenant_id text NOT NULL REFERENCES tenants,
    item_id text NOT NULL,
    row_id uuid NOT NULL,
    name text NOT NULL,
    price_cents bigint NOT NULL CHECK (price_cents > 0),
    currency text NOT NULL,
    stock bigint NOT NULL CHECK (stock >= 0),
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    made_from text NOT NULL,
    last_command text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, item_id)
);
CREATE INDEX erp_items_page ON erp_items (tenant_id, created_at DESC, row_id DESC);

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY[
        'erp_vendors', 'erp_invoices', 'erp_payments', 'erp_holds', 'erp_warnings', 'erp_items'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;

GRANT SELECT, INSERT ON erp_vendors, erp_invoices, erp_payments, erp_holds, erp_warnings, erp_items
    TO inopsio_app;
GRANT UPDATE (name, address, bank_account, previous_bank_account, bank_changed_by, bank_changed_at,
    confirmation, confirmed_by, version, last_command) ON erp_vendors TO inopsio_app;
GRANT UPDATE (status, approved_by, approved_at, version, last_command) ON erp_invoices
    TO inopsio_app;
GRANT UPDATE (status, held_from, approved_by, approved_at, paid_by, paid_at, acted, fact_position,
    version, last_command) ON erp_payments TO inopsio_app;
GRANT UPDATE (released_by, released_at, release_note) ON erp_holds TO inopsio_app;
GRANT UPDATE (cleared_by, cleared_at) ON erp_warnings TO inopsio_app;
GRANT UPDATE (price_cents, stock, changed_at, version, last_command) ON erp_items TO inopsio_app;
