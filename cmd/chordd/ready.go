package main

import (
	"fmt"
	"net/http"

	"github.com/chordkv/chord/node"
)

// readiness says whether a load balancer should send clients here, check by check.
type readiness []check

// check is one condition. An advisory one is shown, but does not count: a full disk, for example, refuses writes everywhere that the
// key's replicas are, and taking the process away from readers would help nobody.
type check struct {
	name     string
	ok       bool
	advisory bool
	detail   string
}

// assess derives the checks from what the process says about itself.
func assess(s node.Status, writeQuorum int, draining bool) readiness {
	serving, smallest := 0, smallestGroup(s)
	for _, n := range s.Nodes {
		if n.Serving {
			serving++
		}
	}
	writable := check{name: "store-writable", ok: s.StoreError == nil, advisory: true}
	if s.StoreError != nil {
		writable.detail = s.StoreError.Error()
	}
	clock := check{name: "clock", ok: s.ClockError == nil, advisory: true}
	if s.ClockError != nil {
		clock.detail = s.ClockError.Error()
	}
	members := s.Standing.Alive + s.Standing.Dead
	return readiness{
		{name: "joined", ok: s.Ready},
		{name: "serving", ok: serving == len(s.Nodes), detail: fmt.Sprintf("%d of %d nodes have their place in the ring", serving, len(s.Nodes))},
		{name: "not-draining", ok: !draining},
		writable,
		clock,
		{
			name: "write-quorum", ok: smallest >= writeQuorum, advisory: true,
			detail: fmt.Sprintf("%d processes known for each key, writes need %d", smallest, writeQuorum),
		},
		{
			name: "majority", ok: !s.Standing.Minority, advisory: true,
			detail: fmt.Sprintf("hears of %d of %d processes", s.Standing.Alive, members),
		},
	}
}

// smallestGroup returns how many processes are known for each key, at least.
func smallestGroup(s node.Status) int {
	smallest := len(s.Nodes[0].Group)
	for _, n := range s.Nodes[1:] {
		smallest = min(smallest, len(n.Group))
	}
	return smallest
}

func (r readiness) ok() bool {
	for _, c := range r {
		if !c.ok && !c.advisory {
			return false
		}
	}
	return true
}

// serveReady answers /readyz: 200 or 503, with the single checks if the query has "verbose" or something is wrong.
func serveReady(w http.ResponseWriter, req *http.Request, r readiness) {
	status, word := http.StatusOK, "ready"
	if !r.ok() {
		status, word = http.StatusServiceUnavailable, "not ready"
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.ok() && !req.URL.Query().Has("verbose") {
		fmt.Fprintln(w, word)
		return
	}
	for _, c := range r {
		mark := "[+]"
		switch {
		case !c.ok && c.advisory:
			mark = "[!]"
		case !c.ok:
			mark = "[-]"
		}
		if c.detail == "" {
			fmt.Fprintf(w, "%s %s\n", mark, c.name)
			continue
		}
		fmt.Fprintf(w, "%s %s: %s\n", mark, c.name, c.detail)
	}
	fmt.Fprintln(w, word)
}
