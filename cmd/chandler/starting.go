package main

import (
	"encoding/json"
	"net/http"

	"github.com/chandler-broker/chandler/core/osbapi"
)

// starting answers while the broker starts: alive, not ready, and everything else is
// refused without effect, to be sent again.
func (a *app) starting() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusServiceUnavailable, a.notStarted())
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "5")
		answerJSON(w, http.StatusTooManyRequests, map[string]string{"error": "Overloaded",
			"description": "The broker is starting and takes no requests now. Send the request again in a moment."})
	})
	return mux
}

// notStarted is /readyz of a broker that is not there yet.
func (a *app) notStarted() osbapi.ReadyReport {
	check := osbapi.ReadyCheck{Name: "process", Messages: []string{"the broker is starting"}}
	if waits := a.waits.Load(); waits != nil {
		check = osbapi.ReadyCheck{Name: "store", Messages: []string{*waits}}
	}
	return osbapi.ReadyReport{Checks: []osbapi.ReadyCheck{check}}
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that went away
}
