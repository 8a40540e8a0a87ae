-- +goose Up
-- Who did it, and the end of the chain apart from the chain (HST-074).

ALTER TABLE journal ADD COLUMN actor TEXT NOT NULL DEFAULT ''; -- '': not kept, as in lines of version 1

CREATE TABLE journal_head (
  one   INTEGER PRIMARY KEY CHECK (one = 1),
  seq   INTEGER NOT NULL, -- of the newest line
  chain BLOB    NOT NULL, -- its link
  mac   BLOB    NOT NULL  -- HMAC-SHA256 over both, under the secret 'journal'
) STRICT;

ALTER TABLE tokens ADD COLUMN role INTEGER NOT NULL DEFAULT 4; -- store.Role; so far each token could do everything
