package population

import (
	"rollcall/protocol"
)

// Options say how an export is read. The zero value, with Path, is the careful default.
type Options struct {
	Path           string              // a folder, or one CSV (plain or zipped) or JSON file
	AsOf           protocol.Time       // moment of the export (--as-of); 0: what the export says, else its latest contact
	LicenceDefault string              // class of users that the export does not show: basic (default), intune, none
	Coexistence    *bool               // nil: what the export says
	Authority      *protocol.Authority // nil: what the export says
	BMSAgent       []string            // management agents that mean BMS; nil: Microsoft's own, and in an office365 tenant mdm and easMdm
	KeepNames      bool                // no tokens in place of names, UPNs, serial numbers
	Lenient        bool                // leave bad rows out instead of refusing the export
	APNs           APNs                // what the administrator answers about the push certificate; wins over the export
	Labels         map[string]string   // more labels of the console: "managed by: Office 365" to "microsoft365ManagedMdm"
}

// Import reads an export. Without Lenient the first hundred bad rows are its error, [plan.Errors] with file,
// line, column and field; with it they are left out and counted. Rows stream: beside the population itself the
// memory used does not grow with the file.
func Import(o Options) (*Population, error) { return nil, nil }
