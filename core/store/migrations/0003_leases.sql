-- The version of the plugin that gave the outputs; '' if unknown.
ALTER TABLE instances ADD COLUMN plugin_version TEXT NOT NULL DEFAULT '';
ALTER TABLE bindings  ADD COLUMN plugin_version TEXT NOT NULL DEFAULT '';

-- One row for each start of a broker. When a lease ends is written here, once for its
-- holder, and not in the operations: a renewal is one row, however many they are.
CREATE TABLE leases (
  holder     TEXT NOT NULL PRIMARY KEY,
  name       TEXT NOT NULL,
  version    TEXT NOT NULL,
  keys       INTEGER NOT NULL,
  renewed_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL -- 0: it was released or found to have ended, and never lives again
) WITHOUT ROWID;
ALTER TABLE operations DROP COLUMN expires_at;
-- Goes from one holder to the next without reading what each of them holds.
CREATE INDEX operations_by_holder ON operations (holder, instance_id) WHERE state IN ('pending', 'cancelling');
