package main

import (
	"github.com/prometheus/client_golang/prometheus"
)

var (
	descGossipMembers   = desc("gossip_members", "Processes that are alive by what gossip says, this one among them.")
	descGossipHealth    = desc("gossip_health_score", "0 while probes are answered in time, up to 7 while this process itself seems too slow to judge others.")
	descGossipEvents    = desc("gossip_events_total", "What gossip has said about other processes.", "event")
	descGossipRefused   = desc("gossip_refused_total", "Packets and streams that were refused: of other clusters, or garbage.")
	descGossipTrafficTx = desc("gossip_sent_bytes_total", "Bytes sent in packets of gossip, without their headers.")
	descGossipTrafficRx = desc("gossip_received_bytes_total", "Bytes received in packets of gossip, without their headers.")
)

var _ prometheus.Collector = (*chatter)(nil)

// Describe implements prometheus.Collector.
func (c *chatter) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descGossipMembers, descGossipHealth, descGossipEvents, descGossipRefused, descGossipTrafficTx, descGossipTrafficRx,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *chatter) Collect(out chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	traffic := c.listener.Traffic()
	send(descGossipRefused, prometheus.CounterValue, float64(traffic.Refused.Load()))
	send(descGossipTrafficTx, prometheus.CounterValue, float64(traffic.SentBytes.Load()))
	send(descGossipTrafficRx, prometheus.CounterValue, float64(traffic.ReceivedBytes.Load()))
	g := c.running()
	if g == nil {
		return
	}
	send(descGossipMembers, prometheus.GaugeValue, float64(len(g.Members())))
	send(descGossipHealth, prometheus.GaugeValue, float64(g.HealthScore()))
	counts := g.Counts()
	for _, e := range []struct {
		event string
		count uint64
	}{
		{"alive", counts.Joined.Load()},
		{"changed", counts.Changed.Load()},
		{"dead", counts.Dead.Load()},
		{"left", counts.Left.Load()},
		{"conflict", counts.Conflicts.Load()},
	} {
		send(descGossipEvents, prometheus.CounterValue, float64(e.count), e.event)
	}
}
