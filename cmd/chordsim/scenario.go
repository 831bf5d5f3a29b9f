package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
	"github.com/chordkv/chord/sim"
	"github.com/chordkv/chord/sim/experiment"
)

// Worlds convert their messages as the network does.
var _ sim.Wire = rpc.Wire{}

// plainRing is what runs without a scenario: a ring that is maintained as in the papers, and lookups. It holds no data.
const plainRing = `
name: ring
description: A ring that is maintained every 30 seconds, as in the papers, and lookups from random nodes. It holds no data.
nodes: 1000
node:
  stabilize-interval: 30s
  fix-fingers-interval: 30s
  heal-interval: 10m
  repair-interval: 10m
  sweep-interval: 10m
  replicas: 1
  write-quorum: 1
  read-quorum: 1
workload:
  - {op: lookup, rate: 10}
`

// readScenario reads a file, or a scenario that comes with the program by its bare name; without a name it is plainRing.
func readScenario(name string) (sim.Scenario, error) {
	switch {
	case name == "":
		return sim.ParseScenario("ring", []byte(plainRing))
	case strings.ContainsAny(name, `/\.`):
		s, err := sim.ReadScenario(name)
		if errors.Is(err, fs.ErrNotExist) {
			return s, cli.Usagef("no scenario file %s", name).WithHint(`"chordsim list scenarios" shows those that come with the program.`)
		}
		return s, err
	}
	for _, shipped := range sim.Shipped() {
		if shipped == name {
			return sim.ReadScenario("shipped:" + name + ".yaml")
		}
	}
	f := unknown("scenario", name, sim.Shipped(), "chordsim list scenarios")
	if _, err := os.Stat(name); err == nil {
		f.Hint = fmt.Sprintf("There is a file of this name: say ./%s. %s", name, f.Hint)
	}
	return sim.Scenario{}, f
}

// completeScenarios offers the scenarios that come with the program, and files.
func completeScenarios(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return sim.Shipped(), cobra.ShellCompDirectiveDefault
}

// scenarioFlags change fields of a scenario.
type scenarioFlags struct {
	set     []string
	lookups string
	style   string
}

// fields are the flags that stand for a field of the scenario.
var fields = []struct{ flag, path, usage string }{
	{"nodes", "nodes", "`number` of processes"},
	{"vnodes", "vnodes", "`number` of ring nodes of each process"},
	{"duration", "duration", "virtual `time` to simulate, such as 90s or 6h"},
	{"latency", "network.latency.model", "`model` of the network: constant, uniform, exponential, space, internet or matrix"},
	{"loss", "network.loss", "`probability` that a message is lost"},
	{"successors", "node.successors", "`length` of the successor lists"},
	{"gossip", "gossip.on", "`true`: processes hear who is alive, and lookups take one call"},
	{"stabilize", "node.stabilize-interval", "`time` between two rounds of stabilize of a node"},
}

// add adds the flags; set is what --set is for.
func (f *scenarioFlags) add(cmd *cobra.Command, set string) {
	fl := cmd.Flags()
	for _, field := range fields {
		fl.String(field.flag, "", field.usage)
	}
	fl.StringVar(&f.lookups, "lookups", "", "`rate` of lookups per second over all nodes, where no SCENARIO says it (default 10)")
	fl.StringVar(&f.style, "style", "", "`style` of all lookups: iterative, the one who asks calls each node, or recursive, each node calls the next")
	fl.StringArrayVar(&f.set, "set", nil, set)
	cli.CompleteWith(cmd, "latency", sim.LatencyConstant, sim.LatencyUniform, sim.LatencyExponential, sim.LatencySpace, sim.LatencyInternet, sim.LatencyMatrix)
	cli.CompleteWith(cmd, "style", node.Iterative.String(), node.Recursive.String())
}

// apply returns the scenario with what the flags and --set change, and whether they change anything.
func (f *scenarioFlags) apply(cmd *cobra.Command, s sim.Scenario, named bool) (sim.Scenario, bool, error) {
	var changes []string
	for _, field := range fields {
		if fl := cmd.Flags().Lookup(field.flag); fl.Changed {
			changes = append(changes, field.path+"="+fl.Value.String())
		}
	}
	if f.lookups != "" {
		switch {
		case named:
			return s, false, cli.Usagef("%s: --lookups is for a run without SCENARIO", cmd.Name()).WithHint("--set workload[0].rate=%s changes one.", f.lookups)
		case f.lookups == "0":
			changes = append(changes, "workload=[]")
		default:
			changes = append(changes, "workload[0].rate="+f.lookups)
		}
	}
	for i, w := range s.Workload {
		if f.style != "" && w.Op == sim.OpLookup {
			changes = append(changes, fmt.Sprintf("workload[%d].style=%s", i, f.style))
		}
	}
	changes = append(changes, f.set...)
	s, err := experiment.With(s, changes...)
	var invalid *sim.ScenarioError
	if err != nil && !errors.As(err, &invalid) {
		err = cli.Usagef("--set %v", err)
	}
	return s, len(changes) > 0, err
}

// withWire makes worlds pass a share of their messages through the conversions of rpc; nil for none.
func withWire(share float64) func(*sim.Options) {
	if share == 0 {
		return nil
	}
	return func(o *sim.Options) { o.Wire, o.WireShare = rpc.Wire{}, share }
}
