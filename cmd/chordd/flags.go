package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Names of settings that the program itself refers to.
const (
	flagConfig    = "config"
	flagListen    = "listen"
	flagGossip    = "gossip"
	flagAdmin     = "admin"
	flagStore     = "store"
	flagLogLevel  = "log-level"
	flagLogFormat = "log-format"
)

// newFlags returns the flags that fill cfg, in the order of --help. Their names are also the keys of a configuration file and, in
// capitals, the environment variables.
func newFlags(cfg *Config, file *string) *pflag.FlagSet {
	d := DefaultConfig()
	*cfg = d
	f := pflag.NewFlagSet("chordd", pflag.ContinueOnError)
	f.SortFlags = false

	f.StringVar(&cfg.Listen, flagListen, d.Listen, "`HOST:PORT` for nodes and clients; port 0 takes a free one")
	f.StringVar(&cfg.Advertise, "advertise", d.Advertise, "`HOST:PORT` under which the others reach this process (default: the listen address)")
	f.StringSliceVar(&cfg.Join, "join", d.Join, "`HOST:PORT` where any member listens, or where to look for members at every attempt: dns://NAME[:PORT] "+
		"(all addresses of a name), dnssrv://_SERVICE._PROTO.NAME (SRV records) or file://PATH (one HOST:PORT a line); repeat it, or separate by commas, "+
		"to name several: --join 10.0.0.1:7400 --join dnssrv://_chord._tcp.chord.example.com")
	f.IntVar(&cfg.Bootstrap, "bootstrap-expect", d.Bootstrap, "start a new ring when `N` processes have found each other through --join; "+
		"give all of them the same number (a process that is a member already ignores it)")

	f.StringVar(&cfg.Gossip, flagGossip, d.Gossip, "`HOST:PORT`, UDP and TCP, where processes tell each other who is alive; off disables it (default: the host "+
		"of --listen and the port after it)")
	f.StringVar(&cfg.GossipAdvertise, "gossip-advertise", d.GossipAdvertise, "`HOST:PORT` under which the others reach --gossip (default: the host of "+
		"--advertise and the port of --gossip)")
	f.DurationVar(&cfg.GossipPace, "gossip-pace", d.GossipPace, "time between two probes of another process, from which the rest of gossip's timing follows; a longer one costs less traffic, "+
		"and it takes as much longer to notice a dead process and to spread news. The same in the whole ring")
	f.IntVar(&cfg.RoutingPeers, "routing-peers", d.RoutingPeers, "`N` other processes that lookups know by gossip, so that one call finds the owner; in larger "+
		"rings they are more fingers. 0: lookups go by the fingers alone")
	f.IntVar(&cfg.FingerBase, "finger-base", d.FingerBase, "`B`, a power of two from 2 to 256: B-1 fingers for each digit of a distance, so that lookups by fingers take "+
		"fewer calls and more fingers are kept up to date")
	f.IntVar(&cfg.FingerCandidates, "finger-candidates", d.FingerCandidates, "`N` nodes, of which each finger is the one that answers soonest; 1: the first, whatever "+
		"its distance")
	f.Var(newChoice(&cfg.Minority, minorityRefuse, minorityServe), "minority", "what to do with writes by quorum while more than half of the processes "+
		"are dead by gossip: refuse, because they may be a ring of their own, or serve")
	f.DurationVar(&cfg.ForgetDead, "forget-dead", d.ForgetDead, "how long a process that died counts as a member for that, unless a new one takes its place "+
		"before")
	f.DurationVar(&cfg.Grace, "grace", d.Grace, "how long the copies that a process has are not made again when it has gone: if it comes back by then, only what it has missed "+
		"is moved. Until then its keys have a copy less, but never fewer than --write-quorum. 0: they are made at once")
	f.DurationVar(&cfg.TombstoneGrace, "tombstone-grace", d.TombstoneGrace, "how long a delete is remembered at least, for example 48h; a process that was away for more "+
		"than half of that starts over, without its records. 0: for ever, and nobody starts over. The same in the whole ring")
	f.StringVar(&cfg.Zone, "zone", d.Zone, "`NAME` of what fails as a whole with this process, such as a rack or data center: replicas are spread over zones")

	f.StringVar(&cfg.Data, "data", d.Data, "`DIR` of the data and the identity of this process; created if missing")
	f.Var(newChoice(&cfg.Store, storePebble, storeMemory), flagStore, "where records are: pebble (on disk, in --data) or memory (gone at exit)")
	f.Var(newChoice(&cfg.Sync, "always", "interval", "never"), "sync", "when a write is forced to disk: always (before it is acknowledged), "+
		"interval (ten times a second) or never; a power cut, or a crash of this process, loses the rest")

	f.IntVar(&cfg.Replicas, "replicas", d.Replicas, "`N`, processes that hold each key; the same in the whole ring")
	f.IntVar(&cfg.WriteQuorum, "write-quorum", d.WriteQuorum, "`W` of N replicas that must have a write before it is acknowledged")
	f.IntVar(&cfg.ReadQuorum, "read-quorum", d.ReadQuorum, "`R` of N replicas that are asked on a read; R + W > N sees every acknowledged write")
	f.IntVar(&cfg.Successors, "successors", d.Successors, "length of the successor list of a node; more than may fail at once")
	f.IntVar(&cfg.VNodes, "vnodes", d.VNodes, "ring nodes that this process hosts; fixed at the first start of a data directory")
	f.DurationVar(&cfg.RepairEvery, "repair-interval", d.RepairEvery, "how often an arc is compared with its replicas though nothing has changed")
	f.IntVar(&cfg.RepairRate, "repair-rate", d.RepairRate, "`BYTES` a second that this process moves for repair at most; 0: as fast as it goes. "+
		"In any case it leaves clients half of the time")
	f.DurationVar(&cfg.ScrubEvery, "scrub-interval", d.ScrubEvery, "how long it may take to read all records on disk once, to find those that the disk has spoilt; 0: never")
	f.IntVar(&cfg.MaxKeyBytes, "max-key-bytes", d.MaxKeyBytes, "longest key, in `BYTES`")
	f.IntVar(&cfg.MaxValueBytes, "max-value-bytes", d.MaxValueBytes, "largest value, in `BYTES`")

	f.StringVar(&cfg.Admin, flagAdmin, d.Admin, "`HOST:PORT` for operators: /metrics, /healthz, /readyz, /debug/pprof, AdminService; off disables it")
	f.BoolVar(&cfg.Insecure, "insecure", d.Insecure, "allow --listen and --admin on addresses that other machines reach: there is no encryption yet")
	f.BoolVar(&cfg.LeaveOnStop, "leave-on-stop", d.LeaveOnStop, "hand all records over and leave the ring on SIGTERM, instead of staying a member "+
		"that will be back")
	f.DurationVar(&cfg.StopTimeout, "stop-timeout", d.StopTimeout, "how long a graceful stop may take, for example 30s or 5m")

	f.Var(newChoice(&cfg.LogLevel, "debug", "info", "warn", "error"), flagLogLevel, "least important messages to log: debug, info, warn or error")
	f.Var(newChoice(&cfg.LogFormat, "auto", "json", "console"), flagLogFormat, "log as json, for a human on the console, or auto: by whether "+
		"standard error is a terminal")

	f.BoolVar(&cfg.Dev, "dev", d.Dev, "start a ring of several processes in this one, in memory, to try things out; "+
		"--listen is the first one's address, the others follow 10 ports apart")
	f.IntVar(&cfg.DevNodes, "dev-nodes", d.DevNodes, "how many processes --dev starts")
	f.StringVar(file, flagConfig, "", "YAML `FILE` with settings: the names of the flags as keys, for example \"write-quorum: 2\"")
	return f
}

// registerCompletions offers values, files and directories for the flags.
func registerCompletions(cmd *cobra.Command, flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		var complete cobra.CompletionFunc = cobra.NoFileCompletions
		switch v := f.Value.(type) {
		case *choice:
			complete = cobra.FixedCompletions(v.of, cobra.ShellCompDirectiveNoFileComp)
		default:
			switch f.Name {
			case flagConfig:
				complete = cobra.FixedCompletions([]string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt)
			case "data":
				complete = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
			}
		}
		if err := cmd.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
			panic(err) // the flag was registered above
		}
	})
}

// choice is a flag that takes one of a few words, so that a wrong one is refused where it was written.
type choice struct {
	value *string
	of    []string
}

var _ pflag.Value = (*choice)(nil)

func newChoice(value *string, of ...string) *choice { return &choice{value: value, of: of} }

// String implements pflag.Value.
func (c *choice) String() string { return *c.value }

// Set implements pflag.Value.
func (c *choice) Set(s string) error {
	if !slices.Contains(c.of, s) {
		return fmt.Errorf("want %s or %s", strings.Join(c.of[:len(c.of)-1], ", "), c.of[len(c.of)-1])
	}
	*c.value = s
	return nil
}

// Type implements pflag.Value: what --help shows for the value.
func (c *choice) Type() string { return strings.Join(c.of, "|") }
