-- +goose Up
-- The kind of device that an enrolment link is for, and with it the right to a certificate and the certificate; 0: any.

ALTER TABLE tickets ADD COLUMN platform INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN platform INTEGER NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN platform INTEGER NOT NULL DEFAULT 0;
