package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim"
	"github.com/chordkv/chord/sim/experiment"
)

type listedJSON struct {
	Kind   string `json:"kind"` // experiment or scenario
	Name   string `json:"name"`
	Title  string `json:"title"`
	Source string `json:"source,omitempty"`
}

func newList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list [experiments|scenarios]",
		Short: "List the experiments and the scenarios that come with the program",
		Example: `  chordsim list
  chordsim list experiments -o json`,
		ValidArgs: []string{"experiments", "scenarios"},
		Args:      cli.Args(cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs)),
		RunE: func(_ *cobra.Command, args []string) error {
			listed, err := listing()
			if err != nil {
				return err
			}
			return a.list(listed, args)
		},
	}
}

func listing() ([]listedJSON, error) {
	var listed []listedJSON
	for _, e := range experiment.All() {
		listed = append(listed, listedJSON{"experiment", e.Name, e.Title, e.Source})
	}
	for _, name := range sim.Shipped() {
		s, err := readScenario(name)
		if err != nil {
			return nil, err
		}
		listed = append(listed, listedJSON{Kind: "scenario", Name: name, Title: outline(s)})
	}
	return listed, nil
}

// outline says what a scenario is in a line: its description, and what there is in it.
func outline(s sim.Scenario) string {
	parts := []string{cli.GroupDigits(int64(s.Nodes)) + " processes", s.Duration.String()}
	var kinds []string
	for _, c := range s.Churn {
		kinds = append(kinds, c.Kind)
	}
	parts = append(parts, listed("churn", kinds)...)
	kinds = nil
	for _, f := range s.Faults {
		kinds = append(kinds, f.Kind)
	}
	parts = append(parts, listed("faults", kinds)...)
	kinds = nil
	for _, w := range s.Workload {
		kinds = append(kinds, w.Op)
	}
	parts = append(parts, listed("workload", kinds)...)
	text := strings.Join(parts, ", ")
	if s.Description != "" {
		text = firstSentence(s.Description) + " " + text
	}
	return text
}

// listed is "churn: poisson + trace", or nothing.
func listed(what string, kinds []string) []string {
	if len(kinds) == 0 {
		return nil
	}
	slices.Sort(kinds)
	return []string{what + ": " + strings.Join(slices.Compact(kinds), " + ")}
}

func (a *app) list(listed []listedJSON, only []string) error {
	kind, width := "", 0
	for _, l := range listed {
		width = max(width, len(l.Name))
	}
	st := a.styleFor(a.stdoutTTY)
	for _, l := range listed {
		if len(only) > 0 && only[0] != l.Kind+"s" {
			continue
		}
		if a.json() {
			if err := a.printJSON(l); err != nil {
				return err
			}
			continue
		}
		if l.Kind != kind {
			if kind != "" {
				fmt.Fprintln(a.stdout)
			}
			kind = l.Kind
			fmt.Fprintf(a.stdout, "%s\n", st.Bold(map[string]string{
				"experiment": "Experiments (chordsim experiment NAME)", "scenario": "Scenarios (chordsim run NAME)",
			}[kind]))
		}
		fmt.Fprintf(a.stdout, "  %-*s  %s\n", width, l.Name, l.Title)
		if l.Source != "" && l.Source != "none" {
			fmt.Fprintf(a.stdout, "  %-*s  after %s\n", width, "", l.Source)
		}
	}
	return nil
}
