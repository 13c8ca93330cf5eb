package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
)

// check refuses what would only fail later, all problems at once.
func (c *Config) check() error {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		add("listen: %q is not host:port", c.Listen)
	}
	if len(c.Users) == 0 && err == nil && !loopback(host) {
		add("listen: %s is reachable from elsewhere and no users are configured; add users, or listen on 127.0.0.1", c.Listen)
	}
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		add("tls: certificate and key belong together")
	}
	if c.TLS.ClientCA != "" && c.TLS.Certificate == "" {
		add("tls.clientCA: needs tls.certificate and tls.key")
	}
	c.Store.check(add)
	c.checkUsers(add)
	c.Limits.check(add)
	c.Encryption.check(add)
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		add("log.level: %q is not debug, info, warn or error", c.Log.Level)
	}
	if c.Log.Format != "json" && c.Log.Format != "text" {
		add("log.format: %q is not json or text", c.Log.Format)
	}
	if len(problems) > 0 {
		return errors.New("the configuration is wrong:\n  " + strings.Join(problems, "\n  "))
	}
	return nil
}

// checkUsers finds users that nobody could be, and those that anybody could be.
func (c *Config) checkUsers(add func(format string, args ...any)) {
	names := map[string]bool{}
	for i, u := range c.Users {
		if u.Name == "" {
			add("users[%d].name: is missing", i)
		}
		if names[u.Name] {
			add("users[%d].name: %q is there twice; one user can have several passwords", i, u.Name)
		}
		names[u.Name] = true
		if len(u.Passwords)+len(u.Tokens)+len(u.Certificates) == 0 {
			add("users[%d]: %q has neither passwords nor tokens nor certificates", i, u.Name)
		}
		if len(u.Certificates) > 0 && c.TLS.ClientCA == "" {
			add("users[%d].certificates: need tls.clientCA", i)
		}
		for _, s := range append(append([]string{}, u.Passwords...), u.Tokens...) {
			if s == "" {
				add("users[%d]: %q has an empty password or token", i, u.Name)
			}
		}
		switch u.Role {
		case "", "platform", "operator", "metrics":
		default:
			add("users[%d].role: %q is not platform, operator or metrics", i, u.Role)
		}
	}
}

// check refuses limits that would let nothing in; zero means the default.
func (l LimitsConfig) check(add func(format string, args ...any)) {
	for name, n := range map[string]int64{"bodyBytes": l.BodyBytes, "bodiesBytes": l.BodiesBytes, "maxConnections": int64(l.MaxConnections),
		"maxRequests": int64(l.MaxRequests), "maxRequestsPerUser": int64(l.MaxRequestsPerUser), "maxUnfinished": int64(l.MaxUnfinished),
		"maxUnfinishedPerBackend": int64(l.MaxUnfinishedPerBackend), "maxUnfinishedPerUser": int64(l.MaxUnfinishedPerUser)} {
		if n < 0 {
			add("limits.%s: %d is negative", name, n)
		}
	}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
