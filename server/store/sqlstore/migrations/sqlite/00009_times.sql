-- +goose Up
-- Times of the rules that are settings (AUTH-27, AUTH-33, AUTH-43), and previews that may still be confirmed (HST-070).

ALTER TABLE settings ADD COLUMN old_profiles  INTEGER NOT NULL DEFAULT 0; -- nanoseconds, 0 is the default; so are the next two
ALTER TABLE settings ADD COLUMN records       INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN push_grace    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settings ADD COLUMN push_warnings BLOB; -- days, two bytes each; NULL: the default

ALTER TABLE tenant ADD COLUMN kept INTEGER NOT NULL DEFAULT 0; -- of old profiles after the newest change, nanoseconds

CREATE TABLE previews (
  id    TEXT PRIMARY KEY,
  seq   INTEGER NOT NULL, -- the larger, the later it was shown
  at    INTEGER NOT NULL, -- when
  shown BLOB    NOT NULL
) STRICT;
