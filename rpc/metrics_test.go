package rpc_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// sum adds up the values of all series of a metric; of a histogram, the numbers of observations.
func sum(t testing.TB, m *rpc.Metrics, name string) (total float64) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			total += metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return total
}

func TestMetricsCountWhatHappens(t *testing.T) {
	server, client := rpc.NewMetrics(), rpc.NewMetrics()
	s := serve(t, &stub{}, rpc.ServerOptions{Metrics: server})
	peers := newPeers(t, rpc.WithPeerMetrics(client))
	to := ring.Ref{ID: ring.ID{1}, Addr: s.addr}
	for range 3 {
		if err := peers.Notify(t.Context(), to, to); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := peers.Do(t.Context(), to, node.Op{Kind: node.OpGet, Key: key(1)}); err != nil {
		t.Fatal(err)
	}
	if _, err := peers.Do(t.Context(), to, node.Op{Kind: node.OpGet}); err == nil {
		t.Fatal("an empty key was accepted")
	}
	eventually(t, "three requests", func() bool { return sum(t, server, "chord_rpc_requests_total") == 3 })
	for _, c := range []struct {
		m    *rpc.Metrics
		name string
		want float64
	}{
		{server, "chord_rpc_op_seconds", 2},
		{server, "chord_rpc_op_errors_total", 1},
		{server, "chord_rpc_ops_in_flight", 0},
		{server, "chord_rpc_connections", 1},
		{client, "chord_rpc_connections", 1},
		{client, "chord_rpc_batch_calls", 2},
		{server, "chord_rpc_batch_calls", 4}, // two received, two replied
		{server, "chord_rpc_panics_total", 0},
	} {
		if got := sum(t, c.m, c.name); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if sum(t, client, "chord_rpc_sent_bytes_total") == 0 || sum(t, server, "chord_rpc_received_bytes_total") == 0 {
		t.Error("no bytes were counted")
	}
}
