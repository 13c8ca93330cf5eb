-- compatible_from: 1
-- When the broker takes a binding's credentials away; NULL: never, or it has.
ALTER TABLE bindings ADD COLUMN revoke_at BIGINT;
CREATE INDEX bindings_to_revoke ON bindings (revoke_at) WHERE revoke_at IS NOT NULL;
