package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/chordkv/chord/node"
)

// nodeMetrics counts what the process reports as events.
type nodeMetrics struct {
	neighborChanges     prometheus.Counter
	peerFailures        prometheus.Counter
	settleSeconds       prometheus.Histogram
	reconcilesDone      prometheus.Counter
	reconcilesFailed    prometheus.Counter
	recordsSent         prometheus.Counter
	recordsReceived     prometheus.Counter
	bytesSent           prometheus.Counter
	bytesReceived       prometheus.Counter
	recordsDropped      prometheus.Counter
	recordsExpired      prometheus.Counter
	tombstonesCollected prometheus.Counter
	violations          prometheus.Counter
	clockAhead          prometheus.Counter
	suspensions         prometheus.Counter
}

// newRegistry returns a registry of its own, for one process of possibly several in this program, with what every Go service shows.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	b := version()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "chord_build_info", Help: "1, labeled with the version of the program.",
		ConstLabels: prometheus.Labels{"version": b.Version, "commit": b.Commit, "go": b.Go},
	})
	info.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return r
}

func newNodeMetrics(r prometheus.Registerer) *nodeMetrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "chord_" + name, Help: help})
		r.MustRegister(c)
		return c
	}
	reconciles := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "chord_reconciles_total", Help: "Comparisons of an arc with a replica, by how they ended.",
	}, []string{"result"})
	settle := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "chord_settle_seconds", Help: "From a change of a node's arc or replica group until all its replicas agreed again.",
		NativeHistogramBucketFactor: 1.1, Buckets: prometheus.ExponentialBuckets(0.125, 2, 12),
	})
	r.MustRegister(reconciles, settle)
	return &nodeMetrics{
		neighborChanges:     counter("neighbor_changes_total", "Changes of the predecessor or the first successor of a node of this process."),
		peerFailures:        counter("peer_failures_total", "Ring calls that failed in a way that makes the peer count as dead."),
		settleSeconds:       settle,
		reconcilesDone:      reconciles.WithLabelValues("ok"),
		reconcilesFailed:    reconciles.WithLabelValues("error"),
		recordsSent:         counter("records_sent_total", "Records sent to replicas by comparisons of arcs."),
		recordsReceived:     counter("records_received_total", "Records received from replicas by comparisons of arcs."),
		bytesSent:           counter("repair_sent_bytes_total", "Bytes of those records, a fixed 64 each added for what else a record has."),
		bytesReceived:       counter("repair_received_bytes_total", "The same of the records received."),
		recordsDropped:      counter("records_dropped_total", "Records removed here because they belong to, and are safe with, other processes."),
		recordsExpired:      counter("records_expired_total", "Records here whose values were removed because their time was over."),
		tombstonesCollected: counter("tombstones_collected_total", "Deletes of arcs of this process that all replicas have forgotten."),
		violations:          counter("violations_total", "Broken invariants of the own state. More than 0 is a bug or a hostile peer."),
		clockAhead:          counter("clock_ahead_refusals_total", "Versions refused because they lie too far in the future."),
		suspensions:         counter("suspensions_total", "Times that a node found that another had claimed a part of its arc, and decided nothing until that was settled."),
	}
}

// statusCollector shows the state of the process as of the scrape.
type statusCollector struct {
	status   func() node.Status
	draining func() bool
}

var _ prometheus.Collector = (*statusCollector)(nil)

var (
	descReady      = desc("ready", "1 if all nodes of the process have their places in the ring and serve.")
	descDraining   = desc("draining", "1 if the process refuses new operations of clients.")
	descShare      = desc("node_arc_share", "Part of the ring that the node owns.", "node")
	descServing    = desc("node_serving", "1 if the node has its place in the ring and answers for its arc.", "node")
	descSettled    = desc("node_settled", "1 if all replicas of the node's arc agree since the last change of arc or group, but for copies that are not made again yet.", "node")
	descGroup      = desc("node_group_size", "Distinct processes in the replica group of the node's keys.", "node")
	descSuccessors = desc("node_successors", "Length of the node's successor list.", "node")
	descFingers    = desc("node_fingers", "Distinct fingers of the node.", "node")
	descHeard      = desc("routing_nodes", "Nodes of other processes that lookups know by gossip.")
	descDead       = desc("gossip_dead", "Processes that are dead by what gossip says and still count as members of the cluster.")
	descMinority   = desc("minority", "1 if more than half of the cluster is dead by what gossip says: writes by quorum are refused unless --minority is serve.")
	descWatches    = desc("watches", "Watches of clients that are open at this process, of keys and of prefixes.", "of")
	descBehind     = desc("repair_arcs_behind", "Arcs of this process of which not all replicas agree since the last change of arc or group, but for those held.")
	descHeld       = desc("repair_arcs_held", "Arcs of this process of which some copies are not made again yet, because who has them may come back.")
	descComparing  = desc("repair_arcs_comparing", "Arcs of this process that are being compared with their replicas.")
	descWaiting    = desc("repair_arcs_waiting", "Arcs of this process that wait to be compared.")
	descLeft       = desc("repair_records_left", "Records that have to be sent or received still, as far as the comparisons under way know.")
	descLeftTime   = desc("repair_left_seconds", "Time that this takes at the rate so far.")
	descRecords    = desc("store_records", "Records in the store, deletes that are remembered included; absent if the store cannot tell.")
	descTombstones = desc("store_tombstones", "Deletes and expired keys in the store that are remembered; absent if the store cannot tell.")
	descExpiring   = desc("store_expiring", "Records in the store that have a value and a time to expire; absent if the store cannot tell.")
	descContact    = desc("in_contact", "1 if the process misses nothing of what its cluster does. 0 for half of --tombstone-grace, and it starts over; absent without one.")
	descDisk       = desc("store_disk_bytes", "Bytes that the store takes on disk, 0 in memory.")
	descFree       = desc("store_free_bytes", "Bytes free on the store's file system, 0 in memory.")
	descWritable   = desc("store_writable", "0 if the store refuses writes, for example because the disk is full.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("chord_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c *statusCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descReady, descDraining, descShare, descServing, descSettled, descGroup, descSuccessors, descFingers,
		descHeard, descDead, descMinority, descWatches, descBehind, descHeld, descComparing, descWaiting, descLeft, descLeftTime, descRecords, descTombstones, descExpiring, descContact, descDisk, descFree, descWritable,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *statusCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	s := c.status()
	gauge(descReady, oneIf(s.Ready))
	gauge(descDraining, oneIf(c.draining()))
	for _, n := range s.Nodes {
		id := n.View.Self.ID.String()
		share := 0.0
		if n.Serving {
			share = n.View.Arc().Share()
		}
		gauge(descShare, share, id)
		gauge(descServing, oneIf(n.Serving), id)
		gauge(descSettled, oneIf(n.Settled), id)
		gauge(descGroup, float64(len(n.Group)), id)
		gauge(descSuccessors, float64(len(n.View.Succs)), id)
		gauge(descFingers, float64(len(n.Fingers)), id)
	}
	gauge(descHeard, float64(s.Heard))
	gauge(descDead, float64(s.Standing.Dead))
	gauge(descMinority, oneIf(s.Standing.Minority))
	gauge(descWatches, float64(s.Watches.Keys), "key")
	gauge(descWatches, float64(s.Watches.Prefixes), "prefix")
	gauge(descBehind, float64(s.Repair.Behind))
	gauge(descHeld, float64(s.Repair.Held))
	gauge(descComparing, float64(s.Repair.Comparing))
	gauge(descWaiting, float64(s.Repair.Waiting))
	gauge(descLeft, float64(s.Repair.Left))
	gauge(descLeftTime, s.Repair.LeftTime.Seconds())
	if s.Store.Records >= 0 {
		gauge(descRecords, float64(s.Store.Records))
		gauge(descTombstones, float64(s.Store.Tombstones))
		gauge(descExpiring, float64(s.Store.Expiring))
	}
	if !s.Contact.Until.IsZero() {
		gauge(descContact, oneIf(s.Contact.Lasts))
	}
	gauge(descDisk, float64(s.Store.DiskBytes))
	gauge(descFree, float64(s.Store.FreeBytes))
	gauge(descWritable, oneIf(s.StoreError == nil))
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
