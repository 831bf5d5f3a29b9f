package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// EnvName returns the environment variable of a program's flag: CHORD_NO_COLOR.
func EnvName(program, flag string) string {
	return strings.ToUpper(strings.ReplaceAll(program+"_"+flag, "-", "_"))
}

// SetFromEnv gives the flags that the command line does not set their values from the environment. An empty variable counts as unset.
func SetFromEnv(program string, flags *pflag.FlagSet, lookupEnv func(string) (string, bool)) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || err != nil {
			return
		}
		name := EnvName(program, f.Name)
		if v, ok := lookupEnv(name); ok && v != "" {
			if e := flags.Set(f.Name, v); e != nil {
				err = Usagef("environment: %s=%q: %v", name, v, want(f, errors.Unwrap(e)))
			}
		}
	})
	return err
}

// want says in the words of the user what a flag takes, after it has refused a value: the errors of strconv name functions of Go.
func want(f *pflag.Flag, refused error) error {
	switch f.Value.Type() {
	case "int":
		return errors.New("want a whole number")
	case "uint64":
		return errors.New("want a whole number, at least 0")
	case "intSlice":
		return errors.New("want whole numbers, with commas between")
	case "float64":
		return errors.New("want a number")
	case "bool":
		return errors.New("want true or false")
	case "duration":
		return errors.New("want a duration with its unit, for example 30s or 5m")
	}
	return refused
}

// CompleteWith offers values for a flag to the shell.
func CompleteWith(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // no such flag
	}
}

// FlagError words what is wrong with a flag, with the one that may have been meant. It is for cobra's SetFlagErrorFunc.
func FlagError(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		refused *pflag.InvalidValueError
		near    string
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		add := func(f *pflag.Flag) { names = append(names, f.Name) }
		cmd.Flags().VisitAll(add)
		cmd.InheritedFlags().VisitAll(add)
		near = Nearest(unknown.GetSpecifiedName(), names)
	case errors.As(err, &refused):
		f := refused.GetFlag()
		err = fmt.Errorf("--%s %q: %w", f.Name, refused.GetValue(), want(f, refused.Unwrap()))
	}
	f := Usagef("%s%v", commandPrefix(cmd), err).WithHint("%q shows the flags.", cmd.CommandPath()+" --help")
	if near != "" {
		f.Hint = fmt.Sprintf("Did you mean --%s? %s", near, f.Hint)
	}
	return f
}

// UnknownCommand is the error of a word that is no command of cmd, with the one that may have been meant.
func UnknownCommand(cmd *cobra.Command, typed string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	f := Usagef("unknown command %q for %q", typed, cmd.CommandPath()).WithHint("%q shows the commands.", cmd.CommandPath()+" --help")
	if near := Nearest(typed, names); near != "" {
		f.Hint = fmt.Sprintf("Did you mean %q? %s", cmd.CommandPath()+" "+near, f.Hint)
	}
	return f
}

// Args wraps a check of the positional arguments, so that its error counts as usage.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return Usagef("%s%v", commandPrefix(cmd), err).WithHint("Usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// commandPrefix is "put: ", or nothing for the root.
func commandPrefix(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return ""
	}
	return cmd.Name() + ": "
}
