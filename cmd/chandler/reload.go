package main

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/chandler-broker/chandler/core/osbapi"
)

// reloadable are the keys of the configuration that a reload applies; the others need a restart.
var reloadable = []string{"backends", "users", "tls"}

// refusal is why the configuration file is not the one in use, without secrets.
type refusal struct {
	at      time.Time
	problem string
}

// configurationProblem is the refusal in words for an operator; "" if the file is in use.
func (a *app) configurationProblem() string {
	r := a.refused.Load()
	if r == nil {
		return ""
	}
	return "refused at " + r.at.UTC().Format(time.RFC3339) + ": " + r.problem
}

// reload applies the file's backends, users and certificates. All of it is checked
// before any of it holds: anything wrong changes nothing.
func (a *app) reload(ctx context.Context, load func() (Config, error)) {
	cfg, err := load()
	if err == nil {
		a.masked.mask(append(a.cfg.secrets(), cfg.secrets()...))
		err = a.apply(ctx, cfg)
	}
	if err != nil {
		a.refused.Store(&refusal{at: time.Now(), problem: a.masked.text(err.Error())})
		a.log.Error("the configuration was not reloaded; everything stays as it was", "error", err)
		return
	}
	a.refused.Store(nil)
	if keys := needRestart(a.cfg, cfg); len(keys) > 0 {
		a.log.Warn("these keys of the configuration changed and hold only after a restart", "keys", keys)
	}
	a.cfg.Backends, a.cfg.Users, a.cfg.TLS, a.cfg.interpolated = cfg.Backends, cfg.Users, cfg.TLS, cfg.interpolated
	a.log.Info("the configuration was reloaded")
}

func (a *app) apply(ctx context.Context, cfg Config) error {
	backends, err := cfg.backendConfigs()
	if err != nil {
		return err
	}
	certificate, err := cfg.TLS.load()
	if err != nil {
		return err
	}
	if (certificate == nil) != (a.edge.tls.Load() == nil) {
		return errors.New("tls: turning HTTPS on or off needs a restart")
	}
	if (len(cfg.Users) == 0) != (a.edge.users == nil) {
		return errors.New("users: turning authentication on or off needs a restart")
	}
	if a.edge.users != nil {
		if _, err := osbapi.NewUsers(cfg.users()); err != nil {
			return err
		}
	}
	if err := a.host.SetBackends(ctx, backends); err != nil {
		return err
	}
	if a.edge.users != nil {
		if err := a.edge.users.Replace(cfg.users()); err != nil {
			return err
		}
	}
	a.edge.tls.Store(certificate)
	return nil
}

// needRestart names the changed keys that a reload does not apply.
func needRestart(before, after Config) []string {
	var keys []string
	b, a := reflect.ValueOf(before), reflect.ValueOf(after)
	for i := range b.NumField() {
		key := b.Type().Field(i).Tag.Get("yaml")
		if key != "" && !slices.Contains(reloadable, key) && !reflect.DeepEqual(b.Field(i).Interface(), a.Field(i).Interface()) {
			keys = append(keys, key)
		}
	}
	return keys
}
