-- The W3C traceparent of the request that an operation comes from; '' without tracing.
ALTER TABLE operations ADD COLUMN trace TEXT NOT NULL DEFAULT '';
