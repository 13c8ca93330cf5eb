package main

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/chandler-broker/chandler/core"
)

// metrics are what /metrics shows; docs/operations.md lists them. It is the
// broker's Observer and the HTTP edge's hook.
type metrics struct {
	registry   *prometheus.Registry
	operations *prometheus.HistogramVec
	calls      *prometheus.HistogramVec
	requests   *prometheus.HistogramVec
}

var _ core.Observer = (*metrics)(nil)

func newMetrics() *metrics {
	seconds := []float64{.001, .005, .02, .1, .5, 2, 10, 60, 300, 1800}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chandler_operation_duration_seconds", Buckets: seconds,
			Help: "Time from accepting an operation to its end; code is empty for success.",
		}, []string{"backend", "verb", "code"}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chandler_plugin_call_duration_seconds", Buckets: seconds,
			Help: "Time of one plugin call, waiting for a free slot included; code is empty for success.",
		}, []string{"backend", "verb", "code"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "chandler_http_request_duration_seconds", Buckets: seconds,
			Help: "Time of one HTTP request by route pattern, method and status.",
		}, []string{"route", "method", "status"}),
	}
	m.registry.MustRegister(m.operations, m.calls, m.requests,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// OperationFinished implements core.Observer.
func (m *metrics) OperationFinished(backend string, verb core.Verb, code core.ErrorCode, took time.Duration) {
	m.operations.WithLabelValues(backend, string(verb), string(code)).Observe(took.Seconds())
}

// CallFinished implements core.Observer.
func (m *metrics) CallFinished(backend string, verb core.Verb, code core.ErrorCode, took time.Duration) {
	m.calls.WithLabelValues(backend, string(verb), string(code)).Observe(took.Seconds())
}

// request is the HTTP edge's hook.
func (m *metrics) request(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// state is a collector of what is true now: sizes, the catalog's health, backends.
type state struct {
	counts     func(context.Context) (core.Counts, error)
	dispatcher func(context.Context) (core.DispatcherState, error)
	catalog    func() (snapshot *core.Snapshot, valid bool)
	// backends gives each backend's name, whether it is up and its restarts.
	backends func() []backendState
	// configured tells whether the configuration file is the one in use.
	configured func() bool
}

type backendState struct {
	name     string
	up       bool
	restarts int
}

var (
	instancesDesc  = prometheus.NewDesc("chandler_instances", "Service instances in the store.", nil, nil)
	bindingsDesc   = prometheus.NewDesc("chandler_bindings", "Service bindings in the store.", nil, nil)
	unfinishedDesc = prometheus.NewDesc("chandler_unfinished_operations", "Operations that are not finished.", []string{"verb"}, nil)
	storeUpDesc    = prometheus.NewDesc("chandler_store_up", "1 if the store answers.", nil, nil)
	pausedDesc     = prometheus.NewDesc("chandler_dispatcher_paused", "1 while the dispatcher is paused, so that no operation starts.", nil, nil)
	catalogDesc    = prometheus.NewDesc("chandler_catalog_valid", "1 if the last attempt to load the catalog succeeded, 0 if an older one is in use.", nil, nil)
	configDesc     = prometheus.NewDesc("chandler_configuration_valid", "1 if the configuration file is in use, 0 if it was refused and an older one is.", nil, nil)
	loadedDesc     = prometheus.NewDesc("chandler_catalog_loaded_timestamp_seconds", "When the active catalog was loaded, in Unix time.", nil, nil)
	plansDesc      = prometheus.NewDesc("chandler_catalog_plans", "Plans of the active catalog.", []string{"retired"}, nil)
	backendDesc    = prometheus.NewDesc("chandler_backend_up", "1 if the backend's plugin serves calls.", []string{"backend"}, nil)
	restartsDesc   = prometheus.NewDesc("chandler_backend_restarts_total", "Plugin processes that ended by themselves.", []string{"backend"}, nil)
)

// Describe implements prometheus.Collector.
func (s *state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{instancesDesc, bindingsDesc, unfinishedDesc, storeUpDesc, pausedDesc, configDesc, catalogDesc, loadedDesc, plansDesc, backendDesc, restartsDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	counts, err := s.counts(ctx)
	gauge(storeUpDesc, oneIf(err == nil))
	if err == nil {
		gauge(instancesDesc, float64(counts.Instances))
		gauge(bindingsDesc, float64(counts.Bindings))
		for _, verb := range core.Verbs {
			gauge(unfinishedDesc, float64(counts.Unfinished[verb]), string(verb))
		}
	}
	if d, err := s.dispatcher(ctx); err == nil {
		gauge(pausedDesc, oneIf(d.Paused))
	}
	gauge(configDesc, oneIf(s.configured()))
	snapshot, valid := s.catalog()
	gauge(catalogDesc, oneIf(valid))
	gauge(loadedDesc, float64(snapshot.LoadedAt.Unix()))
	plans := 0
	for _, svc := range snapshot.Services {
		plans += len(svc.Plans)
	}
	gauge(plansDesc, float64(plans), "false")
	gauge(plansDesc, float64(len(snapshot.Retired)), "true")
	for _, b := range s.backends() {
		gauge(backendDesc, oneIf(b.up), b.name)
		ch <- prometheus.MustNewConstMetric(restartsDesc, prometheus.CounterValue, float64(b.restarts), b.name)
	}
}

func oneIf(ok bool) float64 {
	if ok {
		return 1
	}
	return 0
}
