package osbapi

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// notModified tells whether the client has what would be sent (RFC 9110, 13.1).
// If-None-Match counts alone where it is there, since dates are coarse.
func notModified(header http.Header, etag string, modified time.Time) bool {
	if tags := header.Values("If-None-Match"); len(tags) > 0 {
		return matchesETag(strings.Join(tags, ","), etag)
	}
	since, err := http.ParseTime(header.Get("If-Modified-Since"))
	return err == nil && !modified.After(since)
}

// matchesETag tells whether the list of entity tags names etag, compared weakly;
// "*" names everything. What follows a malformed member of the list is not read.
func matchesETag(list, etag string) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	for {
		list = strings.TrimLeft(list, " \t,")
		rest := strings.TrimPrefix(list, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return false
		}
		if rest[:end+2] == etag {
			return true
		}
		list = rest[end+2:]
	}
}

// acceptsGzip reads Accept-Encoding: gzip named with a quality above zero, or
// covered by * and not refused by name.
func acceptsGzip(header http.Header) bool {
	star, named, namedOK := false, false, false
	for _, member := range strings.Split(strings.Join(header.Values("Accept-Encoding"), ","), ",") {
		coding, params, _ := strings.Cut(member, ";")
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			named, namedOK = true, quality(params) > 0
		case "*":
			star = quality(params) > 0
		}
	}
	if named {
		return namedOK
	}
	return star
}

// quality is the q of an Accept-Encoding member: 1 if there is none, 0 if it cannot be read.
func quality(params string) float64 {
	for _, p := range strings.Split(params, ";") {
		name, value, found := strings.Cut(p, "=")
		if !found || !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return 0
		}
		return q
	}
	return 1
}
