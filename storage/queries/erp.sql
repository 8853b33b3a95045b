-- Commands of one tenant run one after the other (`fact_turn`): what is read stays true.

-- name: erp_vendor_get
SELECT vendor_id, row_id::text, name, address, domain, bank_account, previous_bank_account,
    bank_changed_by, bank_changed_at, confirmation, confirmed_by, created_by, created_at, version,
    made_from, last_command
FROM erp_vendors
WHERE vendor_id = %(vendor_id)s;

-- name: erp_vendor_add
INSERT INTO erp_vendors (tenant_id, vendor_id, row_id, name, address, domain, bank_account,
    confirmation, confirmed_by, created_by, created_at, made_from)
VALUES (current_setting('inopsio.tenant'), %(vendor_id)s, %(row_id)s::uuid, %(name)s, %(address)s,
    %(domain)s, %(bank_account)s, %(confirmation)s, %(confirmed_by)s, %(created_by)s, %(at)s,
    %(made_from)s)
RETURNING vendor_id, row_id::text, name, address, domain, bank_account, previous_bank_account,
    bank_changed_by, bank_changed_at, confirmation, confirmed_by, created_by, created_at, version;

-- name: erp_vendor_update
UPDATE erp_vendors
SET name = %(name)s, address = %(address)s, domain = %(domain)s, version = version + 1,
    last_command = %(command)s
WHERE vendor_id = %(vendor_id)s
RETURNING vendor_id, row_id::text, name, address, domain, bank_account, previous_bank_account,
    bank_changed_by, bank_changed_at, confirmation, confirmed_by, created_by, created_at, version;

-- name: erp_vendor_bank
UPDATE erp_vendors
SET previous_bank_account = bank_account, bank_account = %(bank_account)s,
    bank_changed_by = %(by)s, bank_changed_at = %(at)s, confirmation = %(confirmation)s,
    confirmed_by = %(confirmed_by)s, version = version + 1, last_command = %(command)s
WHERE vendor_id = %(vendor_id)s
RETURNING vendor_id, row_id::text, name, address, domain, bank_account, previous_bank_account,
    bank_changed_by, bank_changed_at, confirmation, confirmed_by, created_by, created_at, version;

-- name: erp_vendors_page
-- `held`: payments of the vendor that stand still now.
SELECT v.vendor_id, v.row_id::text, v.name, v.address, v.domain, v.bank_account,
    v.previous_bank_account,
    v.bank_changed_by, v.bank_changed_at, v.confirmation, v.confirmed_by, v.created_by,
    v.created_at, v.version,
    (SELECT count(*) FROM erp_payments AS p
        WHERE p.tenant_id = v.tenant_id AND p.vendor_id = v.vendor_id AND p.status = 'held'
    ) AS held
FROM erp_vendors AS v
WHERE (%(search)s::text IS NULL OR strpos(lower(v.name), lower(%(search)s)) > 0
        OR v.vendor_id = %(search)s)
    AND (%(bank_account)s::text IS NULL OR v.bank_account = %(bank_account)s)
    AND (%(before)s::timestamptz IS NULL
        OR (v.created_at, v.row_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY v.created_at DESC, v.row_id DESC
LIMIT %(limit)s;

-- name: erp_invoice_get
SELECT i.invoice_id, i.row_id::text, i.vendor_id, v.name AS vendor_name, v.bank_account,
    i.amount_cents, i.currency, i.due, i.status, i.created_by, i.created_at, i.approved_by,
    i.approved_at, i.version, i.made_from, i.last_command
FROM erp_invoices AS i
JOIN erp_vendors AS v ON v.tenant_id = i.tenant_id AND v.vendor_id = i.vendor_id
WHERE i.invoice_id = %(invoice_id)s;

-- name: erp_invoice_add
INSERT INTO erp_invoices (tenant_id, invoice_id, row_id, vendor_id, amount_cents, currency, due,
    created_by, created_at, made_from)
VALUES (current_setting('inopsio.tenant'), %(invoice_id)s, %(row_id)s::uuid, %(vendor_id)s,
    %(amount_cents)s, %(currency)s, %(due)s, %(created_by)s, %(at)s, %(made_from)s)
RETURNING invoice_id, row_id::text, vendor_id, amount_cents, currency, due, status, created_by,
    created_at, approved_by, approved_at, version;

-- name: erp_invoice_approve
UPDATE erp_invoices
SET status = 'approved', approved_by = %(by)s, approved_at = %(at)s, version = version + 1,
    last_command = %(command)s
WHERE invoice_id = %(invoice_id)s
RETURNING invoice_id, row_id::text, vendor_id, amount_cents, currency, due, status, created_by,
    created_at, approved_by, approved_at, version;

-- name: erp_invoices_page
SELECT i.invoice_id, i.row_id::text, i.vendor_id, v.name AS vendor_name, i.amount_cents,
    i.currency, i.due, i.status, i.created_by, i.created_at, i.approved_by, i.approved_at, i.version
FROM erp_invoices AS i
JOIN erp_vendors AS v ON v.tenant_id = i.tenant_id AND v.vendor_id = i.vendor_id
WHERE (%(vendor_id)s::text IS NULL OR i.vendor_id = %(vendor_id)s)
    AND (%(status)s::text IS NULL OR i.status = %(status)s)
    AND (%(before)s::timestamptz IS NULL
        OR (i.created_at, i.row_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY i.created_at DESC, i.row_id DESC
LIMIT %(limit)s;

-- name: erp_payment_get
SELECT p.payment_id, p.row_id::text, p.vendor_id, v.name AS vendor_name, p.invoice_id,
    p.amount_cents, p.currency, p.bank_account, p.status, p.held_from, p.created_by, p.created_at,
    p.proposed_at, p.approved_by, p.approved_at, p.paid_by, p.paid_at, p.acted, p.fact_position,
    p.version, p.made_from, p.last_command, coalesce(i.status, '') AS invoice_status,
    coalesce(i.approved_by, '') AS invoice_approved_by
FROM erp_payments AS p
JOIN erp_vendors AS v ON v.tenant_id = p.tenant_id AND v.vendor_id = p.vendor_id
LEFT JOIN erp_invoices AS i ON i.tenant_id = p.tenant_id AND i.invoice_id = p.invoice_id
WHERE p.payment_id = %(payment_id)s;

-- name: erp_invoice_paid
-- How much of an invoice payments have been proposed for.
SELECT coalesce(sum(amount_cents), 0)::bigint AS cents
FROM erp_payments
WHERE invoice_id = %(invoice_id)s;

-- name: erp_payment_add
INSERT INTO erp_payments (tenant_id, payment_id, row_id, vendor_id, invoice_id, amount_cents,
    currency, bank_account, status, held_from, created_by, created_at, proposed_at, acted,
    fact_position, made_from)
SELECT current_setting('inopsio.tenant'), %(payment_id)s, %(row_id)s::uuid, %(vendor_id)s,
    %(invoice_id)s, %(amount_cents)s, %(currency)s, %(bank_account)s, %(status)s, %(held_from)s,
    %(created_by)s, %(at)s, %(proposed_at)s, %(acted)s::text[], f.next_position - 1, %(made_from)s
FROM fact_positions AS f
WHERE f.module = 'erp';

-- name: erp_payment_approve
UPDATE erp_payments AS p
SET status = 'approved', approved_by = %(by)s, approved_at = %(at)s,
    acted = array_append(p.acted, %(acted)s::text), fact_position = f.next_position - 1,
    version = p.version + 1, last_command = %(command)s
FROM fact_positions AS f
WHERE f.module = 'erp' AND p.payment_id = %(payment_id)s;

-- name: erp_payment_pay
UPDATE erp_payments AS p
SET status = 'paid', paid_by = %(by)s, paid_at = %(at)s, fact_position = f.next_position - 1,
    version = p.version + 1, last_command = %(command)s
FROM fact_positions AS f
WHERE f.module = 'erp' AND p.payment_id = %(payment_id)s;

-- name: erp_payments_hold
-- One that stands still already keeps what it will go back to.
UPDATE erp_payments AS p
SET held_from = coalesce(p.held_from, p.status), status = 'held',
    acted = CASE WHEN %(acted)s::text = '' THEN p.acted
        ELSE array_append(p.acted, %(acted)s::text) END,
    fact_position = f.next_position - 1, version = p.version + 1, last_command = %(command)s
FROM fact_positions AS f
WHERE f.module = 'erp' AND p.payment_id = ANY(%(payment_ids)s::text[]);

-- name: erp_payment_release
UPDATE erp_payments AS p
SET status = p.held_from, held_from = NULL, fact_position = f.next_position - 1,
    version = p.version + 1, last_command = %(command)s
FROM fact_positions AS f
WHERE f.module = 'erp' AND p.payment_id = %(payment_id)s;

-- name: erp_payments_named
-- What is not paid yet of the vendors and documents that a finding names, or goes to the accounts.
SELECT p.payment_id, p.row_id::text, p.vendor_id, v.name AS vendor_name, p.invoice_id,
    p.amount_cents, p.currency, p.bank_account, p.status, p.created_by, p.version
FROM erp_payments AS p
JOIN erp_vendors AS v ON v.tenant_id = p.tenant_id AND v.vendor_id = p.vendor_id
WHERE p.status <> 'paid'
    AND (p.vendor_id = ANY(%(vendors)s::text[]) OR p.payment_id = ANY(%(documents)s::text[])
        OR p.invoice_id = ANY(%(documents)s::text[])
        OR p.bank_account = ANY(%(accounts)s::text[]))
ORDER BY p.created_at, p.payment_id;

-- name: erp_payments_page
-- `hold_*`: the newest hold that stands.
SELECT p.payment_id, p.row_id::text, p.vendor_id, v.name AS vendor_name, p.invoice_id,
    p.amount_cents, p.currency, p.bank_account, p.status, p.held_from, p.created_by, p.created_at,
    p.proposed_at, p.approved_by, p.approved_at, p.paid_by, p.paid_at, p.version,
    h.finding_id::text AS hold_finding_id, h.title AS hold_title, h.reason AS hold_reason,
    h.level AS hold_level, h.placed_at AS held_at
FROM erp_payments AS p
JOIN erp_vendors AS v ON v.tenant_id = p.tenant_id AND v.vendor_id = p.vendor_id
LEFT JOIN LATERAL (
    SELECT * FROM erp_holds AS o
    WHERE p.status = 'held' AND o.tenant_id = p.tenant_id AND o.payment_id = p.payment_id
        AND o.released_at IS NULL
    ORDER BY o.placed_at DESC, o.hold_id DESC
    LIMIT 1
) AS h ON true
WHERE (%(payment_id)s::text IS NULL OR p.payment_id = %(payment_id)s)
    AND (%(vendor_id)s::text IS NULL OR p.vendor_id = %(vendor_id)s)
    AND (%(status)s::text IS NULL OR p.status = %(status)s)
    AND (%(before)s::timestamptz IS NULL
        OR (p.created_at, p.row_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY p.created_at DESC, p.row_id DESC
LIMIT %(limit)s;

-- name: erp_holds_add
INSERT INTO erp_holds (tenant_id, hold_id, payment_id, finding_id, rule_id, level, title, reason,
    placed_by, placed_at)
SELECT current_setting('inopsio.tenant'), h.hold_id, h.payment_id, h.finding_id, h.rule_id,
    h.level, h.title, h.reason, %(placed_by)s, %(at)s
FROM json_to_recordset(%(rows)s::json) AS h(
    hold_id uuid, payment_id text, finding_id uuid, rule_id text, level text, title text,
    reason text)
ON CONFLICT DO NOTHING;

-- name: erp_holds_release
UPDATE erp_holds
SET released_by = %(by)s, released_at = %(at)s, release_note = %(note)s
WHERE payment_id = %(payment_id)s AND released_at IS NULL
RETURNING finding_id::text;

-- name: erp_holds_page
SELECT h.hold_id::text, h.payment_id, h.finding_id::text, h.rule_id, h.level, h.title, h.reason,
    h.placed_by, h.placed_at, h.released_by, h.released_at, h.release_note, p.vendor_id,
    v.name AS vendor_name, p.amount_cents, p.currency, p.status, p.version
FROM erp_holds AS h
JOIN erp_payments AS p ON p.tenant_id = h.tenant_id AND p.payment_id = h.payment_id
JOIN erp_vendors AS v ON v.tenant_id = p.tenant_id AND v.vendor_id = p.vendor_id
WHERE (%(payment_id)s::text IS NULL OR h.payment_id = %(payment_id)s)
    AND (%(finding_id)s::uuid IS NULL OR h.finding_id = %(finding_id)s::uuid)
    AND (NOT %(standing)s OR h.released_at IS NULL)
    AND (%(before)s::timestamptz IS NULL
        OR (h.placed_at, h.hold_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY h.placed_at DESC, h.hold_id DESC
LIMIT %(limit)s;

-- name: erp_warning_add
INSERT INTO erp_warnings (tenant_id, entity_type, entity, finding_id, rule_id, level, title,
    reason, finding_time)
SELECT current_setting('inopsio.tenant'), e.entity_type, e.entity, %(finding_id)s::uuid,
    %(rule_id)s, %(level)s, %(title)s, %(reason)s, %(time)s
FROM unnest(%(types)s::text[], %(entities)s::text[]) AS e(entity_type, entity)
ON CONFLICT DO NOTHING;

-- name: erp_accounts_of
-- Where money to these vendors goes.
SELECT DISTINCT bank_account FROM erp_vendors
WHERE vendor_id = ANY(%(vendors)s::text[])
ORDER BY bank_account;

-- name: erp_warnings_standing
-- `named`: '' where the finding names the vendor or a document itself; else the vendor that has the
-- account too, or the account.
SELECT DISTINCT ON (w.finding_id) w.finding_id::text, w.rule_id, w.level, w.title, w.reason,
    CASE WHEN (w.entity_type = 'vendor' AND w.entity <> %(vendor_id)s)
        OR w.entity_type = 'bank_account' THEN w.entity ELSE '' END AS named
FROM erp_warnings AS w
WHERE w.cleared_at IS NULL AND w.finding_time >= %(since)s
    AND ((w.entity_type = 'vendor' AND w.entity = %(vendor_id)s)
        OR (w.entity_type = 'document' AND w.entity = ANY(%(documents)s::text[]))
        OR (w.entity_type = 'bank_account' AND w.entity = %(bank_account)s)
        OR (w.entity_type = 'vendor' AND w.entity IN (
            SELECT v.vendor_id FROM erp_vendors AS v WHERE v.bank_account = %(bank_account)s)))
ORDER BY w.finding_id, w.entity_type = 'bank_account',
    w.entity_type = 'vendor' AND w.entity <> %(vendor_id)s, w.entity
LIMIT 50;

-- name: erp_warnings_clear
UPDATE erp_warnings
SET cleared_by = %(by)s, cleared_at = %(at)s
WHERE finding_id = ANY(%(finding_ids)s::uuid[]) AND cleared_at IS NULL;

-- name: erp_unheard_finding
-- A grave finding that no handler has taken yet and that names the vendor, one of the same account,
-- the account or a document.
WITH named AS (
    SELECT 'vendor' AS kind, %(vendor_id)s::text AS name
    UNION SELECT 'vendor', vendor_id FROM erp_vendors WHERE bank_account = %(bank_account)s
    UNION SELECT 'bank_account', %(bank_account)s::text
    UNION SELECT 'document', unnest(%(documents)s::text[])
)
SELECT f.finding_id::text, f.title
FROM findings AS f
WHERE f.kind = 'finding' AND f.level IN ('high', 'critical') AND f."time" >= %(since)s
    AND EXISTS (SELECT FROM named AS n
        WHERE (f.entity_type = n.kind AND f.entity = n.name)
            OR f.links @> jsonb_build_array(jsonb_build_array(n.kind, n.name)))
    AND NOT EXISTS (SELECT FROM erp_warnings AS w
        WHERE w.tenant_id = f.tenant_id AND w.finding_id = f.finding_id)
ORDER BY f."time"
LIMIT 1;

-- name: erp_hold_chain
-- The findings that hold a payment, and the parts they rest on; `is_part` tells them apart.
WITH causes AS (
    SELECT f.finding_id, f.parts
    FROM erp_holds AS h
    JOIN findings AS f ON f.tenant_id = h.tenant_id AND f.finding_id = h.finding_id
    WHERE h.payment_id = %(payment_id)s
), named AS (
    SELECT c.finding_id, false AS is_part FROM causes AS c
    UNION
    SELECT p.part, true FROM causes AS c CROSS JOIN LATERAL unnest(c.parts) AS p(part)
    WHERE p.part NOT IN (SELECT finding_id FROM causes)
)
SELECT f.finding_id::text, n.is_part, f."time", f.detector, f.rule_id, f.title, f.level,
    f.entity_type, f.entity, f.kind, f.event_ids::text[] AS event_ids,
    f.parts::text[] AS parts
FROM named AS n
JOIN findings AS f ON f.finding_id = n.finding_id
ORDER BY f."time", f.finding_id
LIMIT 200;

-- name: erp_item_get
SELECT item_id, row_id::text, name, price_cents, currency, stock, created_by, created_at,
    changed_at, version, made_from, last_command
FROM erp_items
WHERE item_id = %(item_id)s;

-- name: erp_item_add
INSERT INTO erp_items (tenant_id, item_id, row_id, name, price_cents, currency, stock, created_by,
    created_at, made_from)
VALUES (current_setting('inopsio.tenant'), %(item_id)s, %(row_id)s::uuid, %(name)s,
    %(price_cents)s, %(currency)s, %(stock)s, %(created_by)s, %(at)s, %(made_from)s)
RETURNING item_id, row_id::text, name, price_cents, currency, stock, created_by, created_at,
    version;

-- name: erp_item_change
UPDATE erp_items
SET price_cents = %(price_cents)s, stock = %(stock)s, changed_at = %(at)s,
    version = version + 1, last_command = %(command)s
WHERE item_id = %(item_id)s
RETURNING item_id, row_id::text, name, price_cents, currency, stock, created_by, created_at,
    version;

-- name: erp_items_page
SELECT item_id, row_id::text, name, price_cents, currency, stock, created_by, created_at, version
FROM erp_items
WHERE (%(search)s::text IS NULL OR strpos(lower(name), lower(%(search)s)) > 0
        OR item_id = %(search)s)
    AND (%(before)s::timestamptz IS NULL
        OR (created_at, row_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY created_at DESC, row_id DESC
LIMIT %(limit)s;

-- name: erp_exposure
-- Documents named, one row each; of vendors named what is open beside those, a row a currency.
-- An invoice counts with what no payment has been proposed for.
WITH named_payments AS (
    SELECT * FROM erp_payments WHERE payment_id = ANY(%(documents)s::text[])
), named_invoices AS (
    SELECT * FROM erp_invoices WHERE invoice_id = ANY(%(documents)s::text[])
), rest AS (
    SELECT i.vendor_id, i.invoice_id, i.currency, i.amount_cents - coalesce((
        SELECT sum(p.amount_cents) FROM erp_payments AS p
        WHERE p.tenant_id = i.tenant_id AND p.invoice_id = i.invoice_id), 0) AS cents
    FROM erp_invoices AS i
    WHERE i.vendor_id = ANY(%(vendors)s::text[]) OR i.invoice_id = ANY(%(documents)s::text[])
), open AS (
    SELECT vendor_id, currency, amount_cents AS cents FROM erp_payments
    WHERE vendor_id = ANY(%(vendors)s::text[]) AND status <> 'paid'
        AND payment_id <> ALL(%(documents)s::text[])
    UNION ALL
    SELECT vendor_id, currency, cents FROM rest
    WHERE vendor_id = ANY(%(vendors)s::text[]) AND invoice_id <> ALL(%(documents)s::text[])
)
SELECT 'payment' AS kind, p.payment_id AS uid, v.name AS title, p.amount_cents, p.currency
FROM named_payments AS p JOIN erp_vendors AS v USING (tenant_id, vendor_id)
UNION ALL
SELECT 'invoice', i.invoice_id, v.name, r.cents::bigint, i.currency
FROM named_invoices AS i JOIN erp_vendors AS v USING (tenant_id, vendor_id)
JOIN rest AS r ON r.invoice_id = i.invoice_id
WHERE r.cents > 0
UNION ALL
SELECT 'vendor', v.vendor_id, v.name, sum(o.cents)::bigint, o.currency
FROM open AS o JOIN erp_vendors AS v ON v.vendor_id = o.vendor_id
GROUP BY v.vendor_id, v.name, o.currency
HAVING sum(o.cents) > 0
ORDER BY amount_cents DESC, uid
LIMIT 200;
