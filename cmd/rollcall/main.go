// Command rollcall is an MDM server, a device agent, and a fleet of simulated devices to try a server with.
//
// Each subcommand is a file: it fills a package's Config from flags and calls one function. [run] and [exitCode]
// are the frame around all of them.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rollcall/protocol"
)

func main() { os.Exit(run()) }

func run() int {
	takeLimits()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	root := &cobra.Command{
		Use:               "rollcall",
		Short:             about,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd) },
	}
	root.SetFlagErrorFunc(ofFlag)
	root.PersistentFlags().Bool("json", false, "print one JSON object on stdout, everything else on stderr")
	root.Args = cobra.ArbitraryArgs                                    // unknownCommand looks at them
	root.Version = strings.TrimPrefix(program().String(), "rollcall ") // by cobra's own words: a template would make the agent 1.9 MB larger
	addCommands(root)
	sayWhatIsWanted(root)
	helpWithCommands(root)
	var unknown error // cobra would show a group's help for a command that it does not have, and call that well done
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if unknown = unknownCommand(cmd); unknown == nil {
			help(cmd, args)
		}
	})
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		err = unknown
	}
	if _, ran := errors.AsType[verdict](err); !ran && errors.Is(err, context.Canceled) {
		err = interrupted{err}
	}
	if err != nil {
		err = plainly(err)
		fmt.Fprintln(os.Stderr, "rollcall:", err)
		if asJSON(cmd) {
			writeError(os.Stdout, cmd, err)
		}
	}
	return exitCode(err)
}

// unknownCommand is that cmd, a group of commands, was asked for one that it does not have; nil: it was not.
func unknownCommand(cmd *cobra.Command) error {
	args := cmd.Flags().Args()
	if !cmd.HasSubCommands() || cmd.Runnable() || len(args) == 0 {
		return nil
	}
	return misnamed(cmd, args[0])
}

// misnamed is that the group cmd has no command of a name.
func misnamed(cmd *cobra.Command, name string) error {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		return fmt.Errorf("unknown command %q for %q; did you mean %q?", name, cmd.CommandPath(), near[0])
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return fmt.Errorf("unknown command %q for %q; want %s", name, cmd.CommandPath(), choices(names))
}

// choices are what is to be chosen from, in words.
func choices(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return "one of " + strings.Join(names, ", ")
}

// helpWithCommands has rollcall help refuse a command that there is not, which cobra calls well done.
func helpWithCommands(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, err := root.Find([]string{"help"})
	cobra.CheckErr(err)
	help.Run = nil
	help.RunE = func(_ *cobra.Command, args []string) error {
		cmd, rest, err := root.Find(args)
		if err != nil {
			return err
		}
		if len(rest) > 0 && cmd.HasSubCommands() {
			return misnamed(cmd, rest[0])
		}
		cmd.InitDefaultHelpFlag()
		return cmd.Help()
	}
}

// notOfEnvironment as an annotation of a flag: what the environment has by its name is for other commands.
const notOfEnvironment = "not of the environment"

// fromEnvironment gives each flag that was not given the value of ROLLCALL_ and its name in upper case, if
// there is one: flags before environment before defaults.
func fromEnvironment(cmd *cobra.Command) (err error) {
	flags := cmd.Flags()
	flags.VisitAll(func(f *pflag.Flag) {
		name := "ROLLCALL_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		_, not := f.Annotations[notOfEnvironment]
		if v := os.Getenv(name); v != "" && !f.Changed && !not && err == nil {
			if wrong := flags.Set(f.Name, v); wrong != nil {
				err = fmt.Errorf("environment variable %s: %w", name, ofFlag(cmd, wrong))
			}
		}
	})
	return err
}

// ofFlag says which flag of a command is wrong and what it wants, instead of how Go reads one.
func ofFlag(cmd *cobra.Command, err error) error {
	if no, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name, near := no.GetSpecifiedName(), ""
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if near == "" && len(name) > 1 && !f.Hidden && (strings.HasPrefix(f.Name, name) || strings.HasPrefix(name, f.Name)) {
				near = fmt.Sprintf("; did you mean --%s?", f.Name)
			}
		})
		return fmt.Errorf("unknown flag: %s%s", dashed(name), cmp.Or(near, fmt.Sprintf("; the flags there are: %s --help", cmd.CommandPath())))
	}
	if no, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("%s: want a value", dashed(no.GetSpecifiedName()))
	}
	wrong, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	value := strconv.Quote(wrong.GetValue())
	want := strings.TrimPrefix(plainly(wrong.Unwrap()).Error(), value+": ")
	_, number := errors.AsType[*strconv.NumError](err)
	switch kind := wrong.GetFlag().Value.Type(); {
	case number && strings.HasPrefix(kind, "uint"):
		want = "want a whole number from 0 on"
	case number && strings.HasPrefix(kind, "int"):
		want = "want a whole number"
	case number && kind == "bool":
		want = "want true or false"
	case number:
		want = "want a number"
	case strings.HasPrefix(want, "time: "):
		want = "want a length of time such as 90s, 10m or 1h30m"
	case kind == "stringToString":
		want = "want NAME=VALUE"
	}
	return fmt.Errorf("--%s %s: %s", wrong.GetFlag().Name, value, want)
}

// dashed is a flag's name as it is typed.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// sayWhatIsWanted has commands that get too few arguments, or too many, say what they take, where cobra has but a number.
func sayWhatIsWanted(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		sayWhatIsWanted(c)
	}
	count := cmd.Args
	if count == nil {
		return
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := count(cmd, args)
		if err == nil || !strings.Contains(err.Error(), "arg(s)") {
			return err
		}
		return fmt.Errorf("want %s, and got %s", cmd.UseLine(), cmp.Or(strings.Join(args, " "), "no argument"))
	}
}

// noArgs refuses arguments of a command that takes none.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.HasSubCommands():
		return misnamed(cmd, args[0])
	}
	return fmt.Errorf("%s takes no argument, and got %q; its flags: %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
}

// A verdict is the error of a job that ran; fleet/report has the type. Asking for the method keeps the
// fleet out of an agent-only build.
type verdict interface {
	error
	Verdict() string // "failed", "invalid" or "partial"
}

// An interrupted is the error of a job that a signal ended before it had a result. What it was at does not matter.
type interrupted struct{ error }

func (interrupted) Error() string   { return "interrupted" }
func (i interrupted) Unwrap() error { return i.error }

// exitCode is the one place that knows the numbers.
func exitCode(err error) int {
	v, ran := errors.AsType[verdict](err)
	_, refused := errors.AsType[*protocol.Refusal](err)
	switch {
	case err == nil:
		return 0 // done and within limits
	case errors.Is(err, context.Canceled), ran && v.Verdict() == "partial":
		return 130 // interrupted; the partial result is written
	case ran && v.Verdict() == "invalid":
		return 3 // ran, and the result may be the generator's own limit
	case ran, refused:
		return 2 // ran, and a limit or check failed; or refused by rule
	}
	return 1 // could not run
}

func asJSON(cmd *cobra.Command) bool {
	v, err := cmd.Flags().GetBool("json")
	return err == nil && v
}

// A placed error knows where in a file of input the mistake is; fleet/plan has the type.
type placed interface {
	error
	Place() (file string, line int, field string) // line 0: the file as a whole
}

// A problem is why a job could not run, as JSON. What is not known is empty.
type problem struct {
	Rule    protocol.Rule `json:"rule"`
	Message string        `json:"message"`
	File    string        `json:"file"`
	Line    int           `json:"line"`
	Field   string        `json:"field"`
}

// writeError writes the object of a job that could not run. One that ran has written its own.
func writeError(w io.Writer, cmd *cobra.Command, err error) {
	_, ran := errors.AsType[verdict](err)
	if _, written := errors.AsType[*written](err); ran || written {
		return
	}
	json.NewEncoder(w).Encode(struct {
		Version int     `json:"version"`
		Command string  `json:"command"`
		Verdict string  `json:"verdict"`
		Error   problem `json:"error"`
	}{1, strings.TrimPrefix(cmd.CommandPath(), "rollcall "), "error", problemOf(err)})
}

// A written is why a job could not go on, whose JSON object is written already.
type written struct{ error }

func (w *written) Unwrap() error { return w.error }

// problemOf is an error as JSON has it.
func problemOf(err error) problem {
	p := problem{Message: err.Error()}
	if rule, ok := errors.AsType[protocol.Rule](err); ok {
		p.Rule = rule
	}
	if at, ok := errors.AsType[placed](err); ok {
		p.File, p.Line, p.Field = at.Place()
	}
	return p
}
