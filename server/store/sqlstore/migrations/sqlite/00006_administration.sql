-- +goose Up
-- Co-management (AUTH-51), compliance as it was at a change (AUTH-29), the bound on what an hour may do (HST-071), and the
-- names of records that were removed, for the journal.

ALTER TABLE devices ADD COLUMN workloads       INTEGER NOT NULL DEFAULT 0; -- authority.Workloads that the client told
ALTER TABLE devices ADD COLUMN workloads_known INTEGER NOT NULL DEFAULT 0;
ALTER TABLE devices ADD COLUMN before_at       INTEGER NOT NULL DEFAULT 0; -- latest report before the newest change heard of
ALTER TABLE devices ADD COLUMN before_complied INTEGER NOT NULL DEFAULT 0;

ALTER TABLE users ADD COLUMN premium INTEGER NOT NULL DEFAULT 0; -- Azure AD Premium
ALTER TABLE users ADD COLUMN removed INTEGER NOT NULL DEFAULT 0; -- its number is not used again

ALTER TABLE settings ADD COLUMN blast     INTEGER NOT NULL DEFAULT 0; -- devices an hour, 0 is the default
ALTER TABLE settings ADD COLUMN licences  INTEGER NOT NULL DEFAULT 0; -- delivery.LicenceGate
ALTER TABLE settings ADD COLUMN workloads BLOB;                       -- a byte each, NULL: all Configuration Manager's
ALTER TABLE settings ADD COLUMN pilots    TEXT    NOT NULL DEFAULT '';

CREATE TABLE removed (
  number INTEGER PRIMARY KEY,
  id     TEXT NOT NULL
) STRICT;
CREATE INDEX removed_id ON removed (id);
