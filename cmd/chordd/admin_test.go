package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// get reads a page of the admin listener.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// hostPort returns the address in a URL of the admin listener.
func hostPort(url string) string { return strings.Trim(strings.TrimPrefix(url, "http:"), "/") }

// One port has pages over HTTP and AdminService over gRPC.
func TestAdmin(t *testing.T) {
	d := startHere(t, alone(t)...)
	url := d.ready(t)["admin"]
	put(t, d.ready(t)["advertise"], "hello", "world")

	if status, body := get(t, url+"readyz"); status != http.StatusOK || body != "ready\n" {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if status, body := get(t, url+"readyz?verbose"); status != http.StatusOK || !strings.Contains(body, "[+] joined\n") ||
		!strings.Contains(body, "[+] serving: 2 of 2 nodes") {
		t.Errorf("/readyz?verbose: %d %q", status, body)
	}
	if status, body := get(t, url+"healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz: %d %q", status, body)
	}
	if status, body := get(t, url); status != http.StatusOK || !strings.Contains(body, "/readyz?verbose") {
		t.Errorf("/: %d %q", status, body)
	}
	if status, _ := get(t, url+"nothing"); status != http.StatusNotFound {
		t.Errorf("/nothing: %d, want %d", status, http.StatusNotFound)
	}
	if status, body := get(t, url+"debug/pprof/goroutine?debug=1"); status != http.StatusOK || !strings.Contains(body, "goroutine profile") {
		t.Errorf("/debug/pprof/goroutine: %d %q", status, body)
	}
	_, metrics := get(t, url+"metrics")
	for _, want := range []string{
		"chord_ready 1\n", "chord_draining 0\n", "chord_store_records 1\n", "chord_store_writable 1\n", "chord_node_arc_share{node=",
		"chord_node_settled{node=", "chord_peer_failures_total 0\n", "chord_neighbor_changes_total ", "chord_violations_total 0\n",
		"chord_records_dropped_total 0\n", "chord_reconciles_total{result=\"ok\"}", "chord_clock_ahead_refusals_total 0\n", "chord_suspensions_total 0\n", "chord_watches{of=\"key\"} 0\n",
		"chord_store_free_bytes ", "chord_store_log_sync_seconds_count ", "chord_rpc_op_seconds_count", "chord_build_info{", "go_goroutines ",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q in /metrics", want)
		}
	}

	admin := chordv1.NewAdminServiceClient(dial(t, hostPort(url)))
	got, err := admin.Status(t.Context(), &chordv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if !got.GetReady() || got.GetStore() != "pebble" || len(got.GetNodes()) != 2 || got.GetRecords() != 1 {
		t.Errorf("status: %v", got)
	}
}

// Draining takes the process out of the hands of load balancers, and back.
func TestDrain(t *testing.T) {
	d := startHere(t, alone(t)...)
	url := d.ready(t)["admin"]
	admin := chordv1.NewAdminServiceClient(dial(t, hostPort(url)))
	for _, undo := range []bool{false, true} {
		if _, err := admin.Drain(t.Context(), &chordv1.DrainRequest{Undo: undo}); err != nil {
			t.Fatal(err)
		}
		want := map[bool]int{false: http.StatusServiceUnavailable, true: http.StatusOK}[undo]
		if status, body := get(t, url+"readyz"); status != want {
			t.Errorf("undo %v: /readyz: %d, want %d: %s", undo, status, want, body)
		}
	}
}

// AdminService.Leave hands everything over and ends the process.
func TestAdminLeave(t *testing.T) {
	first, second := pair(t)
	admin := chordv1.NewAdminServiceClient(dial(t, hostPort(first.ready(t)["admin"])))
	if _, err := admin.Leave(t.Context(), &chordv1.LeaveRequest{}); err != nil {
		t.Fatal(err)
	}
	if code := first.exit(t); code != cli.ExitOK {
		t.Errorf("exit code %d, want %d", code, cli.ExitOK)
	}
	wantPairValues(t, second)
}

// A process that has nobody to hand over to says so to the operator, and ends with an error.
func TestAdminLeaveAlone(t *testing.T) {
	d := startHere(t, alone(t)...)
	ready := d.ready(t)
	put(t, ready["advertise"], "hello", "world")
	admin := chordv1.NewAdminServiceClient(dial(t, hostPort(ready["admin"])))
	if _, err := admin.Leave(t.Context(), &chordv1.LeaveRequest{}); err == nil || !strings.Contains(err.Error(), "hand over") {
		t.Errorf("got %v, want an error about handing over", err)
	}
	if code := d.exit(t); code != cli.ExitOther {
		t.Errorf("exit code %d, want %d", code, cli.ExitOther)
	}
}

func TestProfilesFromThisMachineOnly(t *testing.T) {
	for from, want := range map[string]int{
		"127.0.0.1:5000": http.StatusOK, "[::1]:5000": http.StatusOK, "[::ffff:127.0.0.1]:5000": http.StatusOK,
		"192.0.2.1:5000": http.StatusForbidden, "[2001:db8::1]:5000": http.StatusForbidden, "@": http.StatusForbidden,
	} {
		r := httptest.NewRequest(http.MethodGet, "/debug/pprof/", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		loopbackOnly(func(w http.ResponseWriter, _ *http.Request) {})(w, r)
		if w.Code != want {
			t.Errorf("from %s: got %d, want %d", from, w.Code, want)
		}
	}
}

// TestReady runs the script of /readyz answers. The command "ready" takes what is wrong as arguments, and verbose.
func TestReady(t *testing.T) {
	datadriven.RunTest(t, "testdata/ready", func(t *testing.T, d *datadriven.TestData) string {
		group := []ring.Ref{{Addr: "a"}, {Addr: "b"}, {Addr: "c"}}
		s := node.Status{Ready: true, Standing: node.Standing{Alive: 3}, Nodes: []node.NodeStatus{{Serving: true, Group: group}, {Serving: true, Group: group}}}
		if d.HasArg("outside") {
			s.Ready, s.Nodes[1].Serving = false, false
		}
		if d.HasArg("full") {
			s.StoreError = errors.Join(node.ErrStoreFull)
		}
		if d.HasArg("minority") {
			s.Standing = node.Standing{Alive: 7, Dead: 13, Minority: true}
		}
		if d.HasArg("alone") {
			s.Nodes[0].Group = group[:1]
		}
		target := "/readyz"
		if d.HasArg("verbose") {
			target += "?verbose"
		}
		w := httptest.NewRecorder()
		serveReady(w, httptest.NewRequest(http.MethodGet, target, nil), assess(s, 2, d.HasArg("draining")))
		return http.StatusText(w.Code) + "\n" + w.Body.String()
	})
}
