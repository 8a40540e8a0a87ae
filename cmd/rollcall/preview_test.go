//go:build !agentonly

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// runPreview runs the command in this process.
func runPreview(tb testing.TB, out io.Writer, args ...string) {
	tb.Helper()
	root := &cobra.Command{Use: "rollcall"}
	root.PersistentFlags().Bool("json", false, "")
	root.AddCommand(previewCommand())
	root.SetOut(out)
	root.SetErr(io.Discard)
	root.SetArgs(append([]string{"preview"}, args...))
	if err := root.Execute(); err != nil {
		tb.Fatal(err)
	}
}

// TestPreviewSamples holds the previews of the sample tenants against the counts that their READMEs promise.
func TestPreviewSamples(t *testing.T) {
	shared := os.Getenv("ROLLCALL_SHARED")
	if shared == "" {
		t.Skip("ROLLCALL_SHARED is not set: the sample tenants are not here")
	}
	coexistence := filepath.Join(shared, "data", "coexistence")
	table := t.TempDir() // the same tenant without its JSON of devices
	if err := os.CopyFS(table, os.DirFS(coexistence)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(table, "managedDevices.json")); err != nil {
		t.Fatal(err)
	}
	type counts struct {
		Total        int `json:"total"`
		Enrolled     int `json:"enrolled"`
		Enrolling    int `json:"enrolling"`
		LeftOut      int `json:"left_out"`
		Moved        int `json:"moved"`
		Reregistered int `json:"reregistered"`
		Pending      int `json:"pending"`
		Stale        int `json:"stale"`
		Blocked      int `json:"blocked"`
		Stranded     int `json:"stranded"`
		NeedsSupport int `json:"needs_support"`
		MustEnrol    int `json:"must_enrol_again"`
		Unlicensed   int `json:"unlicensed"`
	}
	type preview struct {
		WouldMove  int `json:"would_move"`
		Reachable  int `json:"would_move_reachable"`
		Blocked    int `json:"would_move_blocked"`
		WouldStay  int `json:"would_stay"`
		Leaving    int `json:"leaving"`
		Doubts     int `json:"doubts"`
		UnitsShort int `json:"intune_units_short"`
	}
	settled := counts{Total: 60, Enrolled: 60, Pending: 4, MustEnrol: 3, Unlicensed: 1}
	next := preview{WouldMove: 4, Reachable: 4, WouldStay: 55, Leaving: 1, UnitsShort: 5}
	for _, tt := range []struct {
		name, export string
		devices      counts
		preview      preview
	}{
		{
			"bms-only", filepath.Join(shared, "data", "bms-only"),
			counts{Total: 44, Enrolled: 33, LeftOut: 11, Pending: 9, Stale: 23, Blocked: 17, Stranded: 1, NeedsSupport: 1, MustEnrol: 2, Unlicensed: 1},
			preview{WouldMove: 9, Reachable: 8, Blocked: 5, WouldStay: 24, Doubts: 7, UnitsShort: 14},
		},
		{"coexistence", coexistence, settled, next},
		{"coexistence, CSV", table, settled, next},
		{ // who has a device under Intune is entitled; of the others, whose licences nobody says, one has a co-managed PC
			"coexistence, CSV alone", filepath.Join(coexistence, "DevicesWithInventory.csv"),
			counts{Total: 60, Enrolled: 60, Pending: 1, MustEnrol: 3},
			preview{WouldMove: 1, Reachable: 1, WouldStay: 58, Leaving: 1, Doubts: 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			args := []string{"--json", "--export", tt.export}
			if filepath.Ext(tt.export) != "" {
				args = append(args, "--coexistence")
			}
			runPreview(t, &out, args...)
			var got struct {
				Devices counts  `json:"devices"`
				Preview preview `json:"preview"`
				Change  struct {
					ReachableBlocked int `json:"would_move_reachable_blocked"`
				} `json:"change"`
			}
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.devices, got.Devices); diff != "" {
				t.Errorf("devices (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.preview, got.Preview); diff != "" {
				t.Errorf("preview (-want +got):\n%s", diff)
			}
			if want := map[string]int{"bms-only": 4}[tt.name]; got.Change.ReachableBlocked != want {
				t.Errorf("%d reachable behind the gap, want %d", got.Change.ReachableBlocked, want)
			}
		})
	}
}

// writeExport writes an export of n managed devices under coexistence into dir, four to a user.
func writeExport(tb testing.TB, dir string, n int) {
	tb.Helper()
	file := func(name string, fill func(w io.Writer)) {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			tb.Fatal(err)
		}
		w := bufio.NewWriter(f)
		fill(w)
		if w.Flush() != nil || f.Close() != nil {
			tb.Fatal(name)
		}
	}
	file("tenant.json", func(w io.Writer) {
		fmt.Fprint(w, `{"rollcall":{"coexistence":true,"baseAuthority":"office365","asOf":"2026-11-01T08:00:00Z","changedAt":"2026-06-01T08:00:00Z"}}`)
	})
	file("users.json", func(w io.Writer) {
		skus := []string{"3b555118-da6a-4418-894f-7df1e2096870", "cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46"}
		for i := range (n + 3) / 4 {
			fmt.Fprintf(w, `{"id":"u%d","userPrincipalName":"user%d@example.com","assignedLicenses":[{"skuId":"%s","disabledPlans":[]}]}`+"\n", i, i, skus[i%2])
		}
	})
	file("managedDevices.json", func(w io.Writer) {
		agents, systems := []string{"mdm", "microsoft365ManagedMdm"}, []string{"iOS", "iPadOS", "Android", "Windows"}
		for i := range n {
			fmt.Fprintf(w, `{"id":"d%d","deviceName":"DEVICE-%06d","operatingSystem":"%s","osVersion":"17.%d","model":"Model %d","manufacturer":"Maker","serialNumber":"S%08d","managedDeviceOwnerType":"company",`+
				`"userId":"u%d","userPrincipalName":"user%d@example.com","deviceEnrollmentType":"userEnrollment","managementAgent":"%s","managementState":"managed","deviceRegistrationState":"registered",`+
				`"enrolledDateTime":"2026-03-%02dT08:00:00Z","lastSyncDateTime":"2026-10-%02dT08:00:00Z","managementCertificateExpirationDate":"2027-03-01T08:00:00Z","complianceState":"compliant"}`+"\n",
				i, i, systems[i%4], i%9, i%20, i, i/4, i/4, agents[i%3%2], 1+i%28, 1+i%30)
		}
	})
}

// BenchmarkPreview is the whole command: words alone, and with a list and a page, which reads the export twice.
func BenchmarkPreview(b *testing.B) {
	for _, n := range []int{60, 100_000} {
		dir := b.TempDir()
		writeExport(b, dir, n)
		out := filepath.Join(b.TempDir(), "list.csv")
		for name, more := range map[string][]string{"words": nil, "files": {"--csv", out, "--html", out + ".html", "--force"}} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				before, _ := usage()
				for b.Loop() {
					runPreview(b, io.Discard, append([]string{"--export", dir}, more...)...)
				}
				cpu, peak := usage()
				b.ReportMetric((cpu-before).Seconds()/float64(b.N), "CPU-s/op")
				b.ReportMetric(float64(peak)/1e6, "peak-MB")
			})
		}
	}
}
