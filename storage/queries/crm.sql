-- Commands of one tenant run one after the other (`fact_turn`): what is read stays true.

-- name: crm_change_mark
-- No row when this very change was made before.
INSERT INTO crm_changes (tenant_id, document_type, document_uid, command, verb, changed_by,
    changed_at)
VALUES (current_setting('inopsio.tenant'), %(document_type)s, %(document_uid)s, %(command)s,
    %(verb)s, %(by)s, %(at)s)
ON CONFLICT DO NOTHING
RETURNING command;

-- name: crm_company_get
SELECT customer_uid, row_id::text, name, address, created_by, created_at, version, made_from
FROM crm_companies
WHERE customer_uid = %(uid)s;

-- name: crm_company_add
INSERT INTO crm_companies (tenant_id, customer_uid, row_id, name, address, created_by, created_at,
    made_from)
VALUES (current_setting('inopsio.tenant'), %(customer_uid)s, %(row_id)s::uuid, %(name)s,
    %(address)s, %(created_by)s, %(at)s, %(made_from)s);

-- name: crm_company_update
UPDATE crm_companies SET name = %(name)s, address = %(address)s, version = version + 1
WHERE customer_uid = %(uid)s;

-- name: crm_companies_page
-- `open_deals`: how many are neither won nor lost.
SELECT c.customer_uid, c.row_id::text, c.name, c.address, c.created_by, c.created_at, c.version,
    (SELECT count(*) FROM crm_deals AS d
        WHERE d.tenant_id = c.tenant_id AND d.customer_uid = c.customer_uid
        AND d.stage NOT IN ('won', 'lost')) AS open_deals
FROM crm_companies AS c
WHERE (%(search)s::text IS NULL OR strpos(lower(c.name), lower(%(search)s)) > 0
        OR c.customer_uid = %(search)s)
    AND (%(before)s::timestamptz IS NULL
        OR (c.created_at, c.row_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY c.created_at DESC, c.row_id DESC
LIMIT %(limit)s;

-- name: crm_contact_get
SELECT c.contact_uid, c.row_id::text, c.customer_uid, o.name AS customer_name, c.name, c.mail,
    c.created_by, c.created_at, c.version, c.made_from
FROM crm_contacts AS c
JOIN crm_companies AS o ON o.tenant_id = c.tenant_id AND o.customer_uid = c.customer_uid
WHERE c.contact_uid = %(uid)s;

-- name: crm_contact_add
INSERT INTO crm_contacts (tenant_id, contact_uid, row_id, customer_uid, name, mail, created_by,
    created_at, made_from)
VALUES (current_setting('inopsio.tenant'), %(contact_uid)s, %(row_id)s::uuid, %(customer_uid)s,
    %(name)s, %(mail)s, %(created_by)s, %(at)s, %(made_from)s);

-- name: crm_contact_update
UPDATE crm_contacts SET name = %(name)s, mail = %(mail)s, version = version + 1
WHERE contact_uid = %(uid)s;

-- name: crm_contacts_page
SELECT c.contact_uid, c.row_id::text, c.customer_uid, o.name AS customer_name, c.name, c.mail,
    c.created_by, c.created_at, c.version
FROM crm_contacts AS c
JOIN crm_companies AS o ON o.tenant_id = c.tenant_id AND o.customer_uid = c.customer_uid
WHERE (%(customer_uid)s::text IS NULL OR c.customer_uid = %(customer_uid)s)
    AND (%(search)s::text IS NULL OR strpos(lower(c.name), lower(%(search)s)) > 0
        OR lower(c.mail) = lower(%(search)s) OR c.contact_uid = %(search)s)
    AND (%(before)s::timestamptz IS NULL
        OR (c.created_at, c.row_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY c.created_at DESC, c.row_id DESC
LIMIT %(limit)s;

-- name: crm_deal_get
SELECT d.deal_uid, d.row_id::text, d.customer_uid, o.name AS customer_name, d.title,
    d.amount_cents, d.currency, d.stage, d.discount_percent::float8 AS discount_percent,
    d.campaign, d.approved_by, d.contact_mail, d.created_by, d.created_at, d.version, d.made_from
FROM crm_deals AS d
JOIN crm_companies AS o ON o.tenant_id = d.tenant_id AND o.customer_uid = d.customer_uid
WHERE d.deal_uid = %(uid)s;

-- name: crm_deal_add
INSERT INTO crm_deals (tenant_id, deal_uid, row_id, customer_uid, title, amount_cents, currency,
    stage, contact_mail, created_by, created_at, made_from)
VALUES (current_setting('inopsio.tenant'), %(deal_uid)s, %(row_id)s::uuid, %(customer_uid)s,
    %(title)s, %(amount_cents)s, %(currency)s, %(stage)s, %(contact_mail)s, %(created_by)s, %(at)s,
    %(made_from)s);

-- name: crm_deal_stage
UPDATE crm_deals SET stage = %(stage)s, version = version + 1 WHERE deal_uid = %(uid)s;

-- name: crm_deal_discount
UPDATE crm_deals
SET discount_percent = %(discount_percent)s, campaign = %(campaign)s,
    approved_by = %(approved_by)s, version = version + 1
WHERE deal_uid = %(uid)s;

-- name: crm_deals_page
SELECT d.deal_uid, d.row_id::text, d.customer_uid, o.name AS customer_name, d.title,
    d.amount_cents, d.currency, d.stage, d.discount_percent::float8 AS discount_percent,
    d.campaign, d.approved_by, d.contact_mail, d.created_by, d.created_at, d.version
FROM crm_deals AS d
JOIN crm_companies AS o ON o.tenant_id = d.tenant_id AND o.customer_uid = d.customer_uid
WHERE (%(customer_uid)s::text IS NULL OR d.customer_uid = %(customer_uid)s)
    AND (%(stage)s::text IS NULL OR d.stage = %(stage)s)
    AND (%(least_discount)s::numeric IS NULL OR d.discount_percent >= %(least_discount)s)
    AND (%(before)s::timestamptz IS NULL
        OR (d.created_at, d.row_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY d.created_at DESC, d.row_id DESC
LIMIT %(limit)s;

-- name: crm_exposure
-- Open deals of these customers, and these deals themselves, the largest first.
SELECT d.deal_uid, d.customer_uid, o.name AS customer_name, d.title, d.amount_cents, d.currency,
    d.stage, d.discount_percent::float8 AS discount_percent, d.approved_by, d.created_by,
    d.created_at
FROM crm_deals AS d
JOIN crm_companies AS o ON o.tenant_id = d.tenant_id AND o.customer_uid = d.customer_uid
WHERE d.stage NOT IN ('won', 'lost')
    AND (d.customer_uid = ANY(%(customers)s::text[]) OR d.deal_uid = ANY(%(documents)s::text[]))
ORDER BY d.amount_cents DESC, d.deal_uid
LIMIT %(limit)s;

-- name: crm_count
SELECT CASE %(document_type)s::text
    WHEN 'contacts' THEN (SELECT count(*) FROM crm_contacts)
    ELSE (SELECT count(*) FROM crm_deals) END AS records;

-- name: crm_export_get
SELECT export_uid, row_id::text, document_type, record_count, report, created_by, created_at,
    made_from
FROM crm_exports
WHERE export_uid = %(uid)s;

-- name: crm_export_add
INSERT INTO crm_exports (tenant_id, export_uid, row_id, document_type, record_count, report,
    created_by, created_at, made_from)
VALUES (current_setting('inopsio.tenant'), %(export_uid)s, %(row_id)s::uuid, %(document_type)s,
    %(record_count)s, %(report)s, %(created_by)s, %(at)s, %(made_from)s);

-- name: crm_exports_page
SELECT export_uid, row_id::text, document_type, record_count, report, created_by, created_at
FROM crm_exports
WHERE (%(before)s::timestamptz IS NULL
        OR (created_at, row_id) < (%(before)s, %(before_id)s::uuid))
ORDER BY created_at DESC, row_id DESC
LIMIT %(limit)s;
