package api

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hoster-ha/hoster-ha/lease"
)

// maxScrapes bounds how many scrapes are answered at once.
const maxScrapes = 4

// metrics answers scrapes from a registry of its own: nothing is counted here,
// the node is asked at each scrape.
func (s *Server) metrics(version string) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{server: s, version: version})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		// Compression would keep megabytes of buffers for a page of text.
		DisableCompression: true, MaxRequestsInFlight: maxScrapes, ErrorLog: logs{s},
	})
}

// logs hands errors of a scrape to the log.
type logs struct{ *Server }

func (l logs) Println(v ...any) { l.log.Warn().Str("part", "metrics").Msgf("%v", v) }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("hoster_ha_"+name, help, labels, nil)
}

var (
	descMaster      = describe("master", "1 while this node is master.")
	descEpoch       = describe("epoch", "Epoch of the newest ledger entry.")
	descLedgerSeq   = describe("ledger_seq", "Number of the newest ledger entry.")
	descLease       = describe("lease_valid", "1 while this node holds its lease.")
	descLeaseLeft   = describe("lease_seconds_left", "Time until the lease ends unless it is renewed.")
	descBeats       = describe("beats_total", "Beats of this node.")
	descBeatsFailed = describe("beats_failed_total", "Beats that did not renew the lease.")
	descLeasesLost  = describe("leases_lost_total", "Leases that this node has lost.")
	descClaims      = describe("claims_total", "Masterships that this node has claimed.")
	descEntries     = describe("entries_total", "Ledger entries that this node has written.")
	descBeat        = describe("beat_seconds", "How long the last beat took.")
	descNodes       = describe("nodes", "Members by what this node makes of their heartbeats.", "standing")
	descFailovers   = describe("failovers", "Failovers under way.")
	descAlarms      = describe("alarms", "Alarms that this node raises.")
	descRequests    = describe("store_requests_total", "Operations handed to the store.", "purpose", "request")
	descBuild       = describe("build_info", "Always 1.", "version", "goversion")

	descs = []*prometheus.Desc{
		descMaster, descEpoch, descLedgerSeq, descLease, descLeaseLeft, descBeats, descBeatsFailed,
		descLeasesLost, descClaims, descEntries, descBeat, descNodes, descFailovers, descAlarms, descRequests, descBuild,
	}
	standings = []lease.Standing{lease.Unseen, lease.Alive, lease.Suspect, lease.Stale, lease.Unreadable}
)

type collector struct {
	server  *Server
	version string
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	n := c.server.node
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	_, master := n.Primary()
	until, held := n.Lease()
	left := 0.0
	if held {
		left = max(until-c.server.now(), 0).Seconds()
	}
	o, st := n.Overview(), n.Stats()
	gauge(descMaster, one(master))
	gauge(descEpoch, float64(o.Epoch))
	gauge(descLedgerSeq, float64(o.LedgerSeq))
	gauge(descLease, one(held))
	gauge(descLeaseLeft, left)
	counter(descBeats, st.Beats)
	counter(descBeatsFailed, st.BeatsFailed)
	counter(descLeasesLost, st.LeasesLost)
	counter(descClaims, st.Claims)
	counter(descEntries, st.Entries)
	gauge(descBeat, st.LastBeat.Seconds())
	count := map[lease.Standing]int{}
	for _, p := range o.Peers {
		count[p.Standing]++
	}
	for _, standing := range standings {
		gauge(descNodes, float64(count[standing]), string(standing))
	}
	gauge(descFailovers, float64(o.Failovers))
	gauge(descAlarms, float64(len(n.Alarms())))
	for purpose, kinds := range st.Requests {
		for kind, count := range kinds {
			counter(descRequests, count, purpose, kind)
		}
	}
	gauge(descBuild, 1, c.version, runtime.Version())
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
