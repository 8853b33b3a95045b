-- Which vendors have the same account: asked at each proposal and payment.
CREATE INDEX erp_vendors_account ON erp_vendors (tenant_id, bank_account);
CREATE INDEX erp_payments_account ON erp_payments (tenant_id, bank_account) WHERE status <> 'paid';
