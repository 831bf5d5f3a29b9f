package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

func newBackup(a *app) *cobra.Command {
	var (
		all  bool
		wait time.Duration
	)
	cmd := &cobra.Command{
		Use:   "backup DIR",
		Short: "Make a process copy its data directory, as it is now",
		Long: `Make the process at --server write a copy of its data directory to DIR, a new directory on its
own machine and on the same file system, where the copy takes hardly any room. It has every
write of this process that was acknowledged before, and is as the directory would be if the
machine stopped now. Copy it to somewhere else then, and delete it here.

"chordd inspect DIR" checks it, "chordd restore DIR NEW" makes a data directory of it. With --all
every process of the ring makes one, each in DIR/HOST_PORT of its machine: when all of them are
restored and started, the ring is as it was.`,
		Example: `  chord backup /var/lib/chord-backup/monday
  chord backup /var/lib/chord-backup/monday --all`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case !path.IsAbs(args[0]):
				return cli.Usagef("%s: want an absolute path: it is one on the machine of the process", args[0])
			case all && a.globals.admin != "":
				return cli.Usagef("--admin names one process, --all means every one")
			case wait <= 0:
				return cli.Usagef("--wait %v: want more than 0", wait)
			}
			if all {
				return a.backupAll(cmd.Context(), args[0], wait)
			}
			return a.backup(cmd.Context(), args[0], wait)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every process of the ring")
	cmd.Flags().DurationVar(&wait, "wait", 5*time.Minute, "how long a process may take")
	return cmd
}

type backupJSON struct {
	Addr    string `json:"addr"`
	Dir     string `json:"dir"` // on its machine
	Records int64  `json:"records"`
}

// backup has the process at --server back itself up.
func (a *app) backup(ctx context.Context, dir string, wait time.Duration) error {
	return a.withAdmin(ctx, func(ctx context.Context, c adminConn) error {
		done, err := call(ctx, c, "backup", wait, c.Backup, &chordv1.BackupRequest{Dir: dir})
		if err != nil {
			return err
		}
		addr := a.globals.servers[0]
		if a.globals.admin != "" {
			addr = a.globals.admin
		}
		if a.json() {
			return a.printJSON(backupJSON{addr, dir, done.GetRecords()})
		}
		a.printf("%s has backed up %s into %s\n", addr, plural(done.GetRecords(), "record"), dir)
		return nil
	})
}

// backupAll has every process of the ring back itself up. One that fails does not keep the others from it.
func (a *app) backupAll(ctx context.Context, dir string, wait time.Duration) error {
	addrs, err := a.processes(ctx)
	if err != nil {
		return err
	}
	failed := 0
	for _, addr := range addrs {
		one := *a
		one.globals.servers = []string{addr}
		if err := one.backup(ctx, path.Join(dir, strings.ReplaceAll(addr, ":", "_")), wait); err != nil {
			fmt.Fprintf(a.stderr, "chord: %s: %v\n", addr, err)
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d processes have no backup", failed, len(addrs))
	}
	return nil
}

// processes returns the addresses of all processes of the ring, in order.
func (a *app) processes(ctx context.Context) (addrs []string, err error) {
	err = a.withClient(ctx, func(ctx context.Context, c client) error {
		members, err := c.Ring(ctx, nil)
		for _, m := range members {
			addrs = append(addrs, m.Node.Addr)
		}
		return err
	})
	slices.Sort(addrs)
	return slices.Compact(addrs), err
}
