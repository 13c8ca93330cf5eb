package main

import (
	"fmt"
	"time"

	"github.com/chandler-broker/chandler/core/osbapi"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

// backendConfigs gives the backends as the host takes them.
func (c *Config) backendConfigs() ([]pluginhost.BackendConfig, error) {
	var list []pluginhost.BackendConfig
	for name, b := range c.Backends {
		raw, err := b.backendJSON()
		if err != nil {
			return nil, fmt.Errorf("backends.%s: %w", name, err)
		}
		list = append(list, pluginhost.BackendConfig{
			Name: name, Plugin: b.Plugin, Config: raw, Secrets: c.interpolated, Env: b.Env, SHA256: b.SHA256, MTLS: b.MTLS,
			Limits: pluginhost.Limits{MaxConcurrency: b.Limits.Concurrency, MaxInstanceCalls: b.Limits.Instances,
				CallTimeout: time.Duration(b.Limits.CallTimeout)},
		})
	}
	return list, nil
}

// users gives the users as the HTTP edge takes them.
func (c *Config) users() []osbapi.User {
	var list []osbapi.User
	for _, u := range c.Users {
		roles := []osbapi.Role{osbapi.RolePlatform}
		switch u.Role {
		case "operator":
			roles = append(roles, osbapi.RoleOperator)
		case "metrics":
			roles = []osbapi.Role{osbapi.RoleMetrics}
		}
		list = append(list, osbapi.User{Name: u.Name, Roles: roles, Passwords: u.Passwords, Tokens: u.Tokens, Certificates: u.Certificates})
	}
	return list
}
