package rpc

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"

	"github.com/chordkv/chord/node"
)

// Metrics counts what goes over the network. It is a prometheus.Collector; one Metrics serves the Server and the Peers of a process. A nil
// *Metrics counts nothing.
type Metrics struct {
	requests  *prometheus.CounterVec   // unary calls and streams that ended, by method and code
	opSeconds *prometheus.HistogramVec // client operations, by kind and whether they were forwarded to us
	opErrors  *prometheus.CounterVec   // client operations that failed, by kind and code
	inFlight  prometheus.Gauge
	batch     *prometheus.HistogramVec
	sent      *prometheus.CounterVec
	received  *prometheus.CounterVec
	conns     *prometheus.GaugeVec
	panics    prometheus.Counter

	ops        [node.OpTouch + 1][2]prometheus.Observer // opSeconds, looked up once
	collectors []prometheus.Collector
	open       atomic.Int64 // client operations under way
}

// NewMetrics returns metrics that start at 0. Register them once.
func NewMetrics() *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chord_rpc_requests_total", Help: "Calls that other processes and clients made, by method and gRPC code; a stream counts when it ends.",
		}, []string{"method", "code"}),
		opSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chord_rpc_op_seconds", Help: "Time that client operations took here, by kind; direct ones are not forwarded.",
			NativeHistogramBucketFactor: 1.1, Buckets: prometheus.ExponentialBuckets(100e-6, 4, 9),
		}, []string{"op", "direct"}),
		opErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chord_rpc_op_errors_total", Help: "Client operations that failed, by kind and gRPC code.",
		}, []string{"op", "code"}),
		batch: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chord_rpc_batch_calls", Help: "Calls in one message of a stream, by service and direction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}, []string{"service", "direction"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chord_rpc_sent_bytes_total", Help: "Bytes of messages and headers that were sent, by side of the connection.",
		}, []string{"side"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chord_rpc_received_bytes_total", Help: "Bytes of messages and headers that were received, by side of the connection.",
		}, []string{"side"}),
		conns: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "chord_rpc_connections", Help: "Open connections, by side.",
		}, []string{"side"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chord_rpc_panics_total", Help: "Calls that panicked. Every one is a bug.",
		}),
	}
	m.inFlight = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "chord_rpc_ops_in_flight", Help: "Client operations under way.",
	})
	for kind := node.OpGet; kind <= node.OpTouch; kind++ {
		m.ops[kind] = [2]prometheus.Observer{
			m.opSeconds.WithLabelValues(kind.String(), "false"), m.opSeconds.WithLabelValues(kind.String(), "true"),
		}
	}
	m.collectors = []prometheus.Collector{
		m.requests, m.opSeconds, m.opErrors, m.inFlight, m.batch, m.sent, m.received, m.conns, m.panics,
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, c := range m.collectors {
		c.Describe(out)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.inFlight.Set(float64(m.open.Load()))
	for _, c := range m.collectors {
		c.Collect(out)
	}
}

// request counts a call that ended.
func (m *Metrics) request(method string, code codes.Code) {
	if m != nil {
		m.requests.WithLabelValues(strings.TrimPrefix(method, "/chord.v1."), code.String()).Inc()
	}
}

// startOps counts client operations that begin now.
func (m *Metrics) startOps(n int) (start time.Time) {
	if m == nil {
		return time.Time{}
	}
	m.open.Add(int64(n))
	return time.Now()
}

// endOp counts a client operation that ended, of those that startOps counted.
func (m *Metrics) endOp(kind node.Kind, direct bool, start, end time.Time, err error) {
	if m == nil {
		return
	}
	m.open.Add(-1)
	if kind < node.OpGet || kind > node.OpTouch {
		return // refused before it was understood
	}
	by := 0
	if direct {
		by = 1
	}
	m.ops[kind][by].Observe(end.Sub(start).Seconds())
	if err != nil {
		code, _, _ := classify(err)
		m.opErrors.WithLabelValues(kind.String(), code.String()).Inc()
	}
}

// batches returns what counts the calls of each message; nil if nothing is to be counted.
func (m *Metrics) batches(service, direction string) func(calls int) {
	if m == nil {
		return nil
	}
	o := m.batch.WithLabelValues(service, direction)
	return func(calls int) { o.Observe(float64(calls)) }
}

func (m *Metrics) panicked() {
	if m != nil {
		m.panics.Inc()
	}
}

// traffic returns the stats.Handler that counts the bytes and connections of one side, "server" or "peer".
func (m *Metrics) traffic(side string) stats.Handler {
	return &traffic{m.sent.WithLabelValues(side), m.received.WithLabelValues(side), m.conns.WithLabelValues(side)}
}

type traffic struct {
	sent, received prometheus.Counter
	conns          prometheus.Gauge
}

func (t *traffic) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (t *traffic) HandleRPC(_ context.Context, s stats.RPCStats) {
	switch s := s.(type) {
	case *stats.InPayload:
		t.received.Add(float64(s.WireLength))
	case *stats.InHeader:
		t.received.Add(float64(s.WireLength))
	case *stats.InTrailer:
		t.received.Add(float64(s.WireLength))
	case *stats.OutPayload:
		t.sent.Add(float64(s.WireLength))
	}
}

func (t *traffic) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (t *traffic) HandleConn(_ context.Context, s stats.ConnStats) {
	switch s.(type) {
	case *stats.ConnBegin:
		t.conns.Inc()
	case *stats.ConnEnd:
		t.conns.Dec()
	}
}
