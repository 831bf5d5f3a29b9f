package main

import (
	"fmt"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node/store"
)

// newRestoreCommand returns "chordd restore".
func newRestoreCommand(sur surroundings) *cobra.Command {
	damaged := false
	cmd := &cobra.Command{
		Use:   "restore BACKUP DIR",
		Short: "Make a data directory of a backup",
		Long: `Check a backup, which "chord backup" has made, and copy it to DIR, a new or empty directory, for a chordd to be started with. The backup stays as it is.

The process that uses DIR is the one that was backed up, with its place on the ring: never start both. In a ring that has gone on meanwhile it gets
what it has missed from the others, and what was written since counts; to undo writes, restore all processes of the ring, or put single keys back with "chord
import".`,
		Example: `  chordd restore /mnt/backup/monday/10.0.0.1_7400 /var/lib/chord
  chordd --data /var/lib/chord --join 10.0.0.2:7400`,
		Args: cli.Args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := inspectDir(cmd.Context(), args[0], sur.stderr)
			if err != nil {
				return err
			}
			if r.Corrupt > 0 && !damaged {
				return &cli.Failure{
					Exit: cli.ExitUnhealthy, Message: fmt.Sprintf("%s is damaged in %s places: nothing was copied", args[0], cli.GroupDigits(r.Corrupt)),
					Hint: `"chordd inspect" shows where. --damaged restores the rest; the other replicas have what is missing, if they are from the same time.`,
				}
			}
			var copied atomic.Int64
			bar := startBar(sur.stderr, "copy", "bytes", &copied)
			defer bar.Stop()
			if err := store.Restore(cmd.Context(), args[0], args[1], &copied); err != nil {
				return err
			}
			bar.Stop()
			_, err = fmt.Fprintf(sur.stdout, "%s has the %s records of process %x: start it with --data %s\n", args[1], cli.GroupDigits(r.Records),
				r.Identity.Process, args[1])
			return err
		},
	}
	cmd.Flags().BoolVar(&damaged, "damaged", false, "restore a backup of which something cannot be read")
	registerCompletions(cmd, cmd.Flags())
	return cmd
}
