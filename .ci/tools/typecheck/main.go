// Typecheck checks packages and all that they import as a compiler would, for the system that GOOS and GOARCH name, and makes no code.
package main

import (
	"flag"
	"fmt"
	"os"

	"golang.org/x/tools/go/packages"
)

func main() {
	tags := flag.String("tags", "", "build `TAGS`")
	tests := flag.Bool("tests", false, "check tests too")
	flag.Parse()
	found, err := packages.Load(&packages.Config{Mode: packages.LoadAllSyntax, BuildFlags: []string{"-tags=" + *tags}, Tests: *tests}, flag.Args()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "typecheck:", err)
		os.Exit(1)
	}
	if len(found) == 0 || packages.PrintErrors(found) > 0 {
		os.Exit(1)
	}
}
