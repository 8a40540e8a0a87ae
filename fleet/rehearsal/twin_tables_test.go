package rehearsal_test

import (
	"slices"
	"strings"
)

// whoManages is the table "Resolving": the first row that fits decides. Apart are Macs and devices of Android Management
// API; new is a device that enrols.
const whoManages = `
AUTH-10 unknown     any                    any     any       | nobody
AUTH-18 any         userless               any     intune    | intune
AUTH-18 any         userless               other   office365 | office365
AUTH-46 bms         userless               apart   new       | nobody
AUTH-19 bms         userless               other   new       | office365
AUTH-19 any         userless               any     new       | intune
AUTH-11 intune      any                    any     any       | intune
AUTH-12 sccm        any                    any     any       | intune
AUTH-24 bms         any                    apart   intune    | intune
AUTH-46 bms         any                    apart   any       | nobody
AUTH-13 bms         any                    other   any       | office365
AUTH-14 both        entitled               any     any       | intune
AUTH-15 both        comanaged              any     any       | intune
AUTH-24 both        basic,none             apart   intune    | intune
AUTH-46 both        basic,none             apart   any       | nobody
AUTH-16 both        basic                  other   any       | office365
AUTH-17 both        none                   other   any       | office365
`

// whatChanges is AUTH-04, with AUTH-03 and AUTH-09: from, to, and what it takes. The first row that fits decides.
const whatChanges = `
any     unknown AUTH-03
unknown both    AUTH-04
unknown any     free
intune  sccm    free
sccm    intune  free
bms     both    units
bms     intune  units,force
intune  bms     force
both    intune  settled
any     any     AUTH-04
`

// A catalogue is every profile that an administrator of a timeline may think of: whose, name, family, identifier.
const profiles = `
0 office365 mail         email         org.mail.bms
1 intune    mail         email         org.mail.intune
2 sccm      mail         email         org.mail.sccm
3 office365 restrictions configuration org.restrictions
4 intune    restrictions configuration org.restrictions
5 sccm      restrictions configuration org.restrictions
6 intune    vpn          vpn           org.vpn
7 sccm      net          wifi          org.net.sccm
8 intune    net          certificate   org.net.intune
9 office365 extra        configuration org.extra
`

// rows are the lines of a table by column; a column may name several words.
func rows(table string) (all [][][]string) {
	for line := range strings.Lines(strings.TrimSpace(table)) {
		var row [][]string
		for _, column := range strings.Fields(line) {
			row = append(row, strings.Split(column, ","))
		}
		all = append(all, row)
	}
	return all
}

var (
	managers = rows(whoManages)
	changes  = rows(whatChanges)
	shelf    = func() (all [][]string) {
		for line := range strings.Lines(strings.TrimSpace(profiles)) {
			all = append(all, strings.Fields(line))
		}
		return all
	}()
)

func fits(column []string, word string) bool {
	return column[0] == "any" || slices.Contains(column, word)
}

func manages(tenant, user, registered string, apart bool) (who, rule string) {
	place := "other"
	if apart {
		place = "apart"
	}
	for _, f := range managers {
		if fits(f[1], tenant) && fits(f[2], user) && fits(f[3], place) && fits(f[4], registered) {
			return f[6][0], f[0][0]
		}
	}
	return "nobody", "no row"
}
