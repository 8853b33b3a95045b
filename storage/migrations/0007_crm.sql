-- CRM, first part: companies, contacts, deals, and what was taken out of them.
CREATE TABLE crm_companies (
    tenant_id text NOT NULL REFERENCES tenants,
    customer_uid text NOT NULL,
    row_id uuid NOT NULL,
    name text NOT NULL,
    address text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    version integer NOT NULL DEFAULT 1,
    made_from text NOT NULL,
    PRIMARY KEY (tenant_id, customer_uid)
);
CREATE INDEX crm_companies_page ON crm_companies (tenant_id, created_at DESC, row_id DESC);

CREATE TABLE crm_contacts (
    tenant_id text NOT NULL REFERENCES tenants,
    contact_uid text NOT NULL,
    row_id uuid NOT NULL,
    customer_uid text NOT NULL,
    name text NOT NULL,
    mail text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    version integer NOT NULL DEFAULT 1,
    made_from text NOT NULL,
    PRIMARY KEY (tenant_id, contact_uid),
    FOREIGN KEY (tenant_id, customer_uid) REFERENCES crm_companies
);
CREATE INDEX crm_contacts_page ON crm_contacts (tenant_id, created_at DESC, row_id DESC);
CREATE INDEX crm_contacts_company ON crm_contacts (tenant_id, customer_uid, created_at DESC);

-- `amount_cents` is the list price; `discount_percent` comes off it.
CREATE TABLE crm_deals (
    tenant_id text NOT NULL REFERENCES tenants,
    deal_uid text NOT NULL,
    row_id uuid NOT NULL,
    customer_uid text NOT NULL,
    title text NOT NULL DEFAULT '',
    amount_cents bigint NOT NULL CHECK (amount_cents > 0),
    currency text NOT NULL,
    stage text NOT NULL DEFAULT 'lead'
        CHECK (stage IN ('lead', 'qualified', 'proposal', 'negotiation', 'won', 'lost')),
    discount_percent numeric(5, 2) NOT NULL DEFAULT 0
        CHECK (discount_percent >= 0 AND discount_percent <= 100),
    campaign text NOT NULL DEFAULT '',
    approved_by text NOT NULL DEFAULT '',
    contact_mail text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    version integer NOT NULL DEFAULT 1,
    made_from text NOT NULL,
    PRIMARY KEY (tenant_id, deal_uid),
    FOREIGN KEY (tenant_id, customer_uid) REFERENCES crm_companies
);
CREATE INDEX crm_deals_page ON crm_deals (tenant_id, created_at DESC, row_id DESC);
CREATE INDEX crm_deals_company ON crm_deals (tenant_id, customer_uid, created_at DESC);

CREATE TABLE crm_exports (
    tenant_id text NOT NULL REFERENCES tenants,
    export_uid text NOT NULL,
    row_id uuid NOT NULL,
    document_type text NOT NULL,
    record_count bigint NOT NULL CHECK (record_count >= 0),
    report text NOT NULL DEFAULT '',
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    made_from text NOT NULL,
    PRIMARY KEY (tenant_id, export_uid)
);
CREATE INDEX crm_exports_page ON crm_exports (tenant_id, created_at DESC, row_id DESC);

-- Every change once: `command` is what a repeat of it has in common with it.
CREATE TABLE crm_changes (
    tenant_id text NOT NULL REFERENCES tenants,
    document_type text NOT NULL,
    document_uid text NOT NULL,
    command text NOT NULL,
    verb text NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, document_type, document_uid, command)
);

DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY[
        'crm_companies', 'crm_contacts', 'crm_deals', 'crm_exports', 'crm_changes'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY tenant ON %I '
            'USING (tenant_id = nullif(current_setting(''inopsio.tenant'', true), '''')) '
            'WITH CHECK (tenant_id = nullif(current_setting(''inopsio.tenant'', true), ''''))', held
        );
    END LOOP;
END $$;
GRANT SELECT, INSERT ON crm_companies, crm_contacts, crm_deals, crm_exports, crm_changes
    TO inopsio_app;
GRANT UPDATE (name, address, version) ON crm_companies TO inopsio_app;
GRANT UPDATE (name, mail, version) ON crm_contacts TO inopsio_app;
GRANT UPDATE (stage, discount_percent, campaign, approved_by, version) ON crm_deals TO inopsio_app;
