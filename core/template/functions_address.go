package template

import (
	"errors"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// addressFunctions build and take apart URLs, host:port pairs and paths.
var addressFunctions = map[string]*function{
	"urlParse": {params: []types{tString}, result: tObject, call: func(c *call) (any, error) {
		u, err := url.Parse(c.str(0))
		if err != nil {
			return nil, errors.New("the text is not a URL")
		}
		return map[string]any{"scheme": u.Scheme, "host": u.Host, "hostname": u.Hostname(), "port": u.Port(), "path": u.Path,
			"query": u.RawQuery, "opaque": u.Opaque, "fragment": u.Fragment, "userinfo": u.User.String()}, nil
	}},
	"urlJoin": {params: []types{tObject}, result: tString, call: func(c *call) (any, error) { return joinURL(c.obj(0)) }},
	// urlEscape leaves only the unreserved characters of RFC 3986, so that the result
	// is safe in every part of a URL, user and password included.
	"urlEscape": onText(func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }),
	"urlquery":  onText(url.QueryEscape),
	"hostPort": {params: []types{tString, tInt | tString}, result: tString, call: func(c *call) (any, error) {
		port, err := text(c.args[1])
		if err != nil {
			return nil, err
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the port is not 1 to 65535")
		}
		return net.JoinHostPort(strings.Trim(c.str(0), "[]"), port), nil
	}},
	"splitHostPort": {params: []types{tString}, result: tObject, call: func(c *call) (any, error) {
		host, port, err := net.SplitHostPort(c.str(0))
		if err != nil {
			return nil, errors.New("the text is not host:port")
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, errors.New("the port is not a number up to 65535")
		}
		return map[string]any{"host": host, "port": int64(n)}, nil
	}},
	"base":  onText(path.Base),
	"dir":   onText(path.Dir),
	"clean": onText(path.Clean),
	"ext":   onText(path.Ext),
	"isAbs": {params: []types{tString}, result: tBool, call: func(c *call) (any, error) { return path.IsAbs(c.str(0)), nil }},
}

// joinURL builds a URL from the parts that urlParse gives. Null and absent parts are
// left out; userinfo is taken as it is, so its parts must be escaped.
func joinURL(parts map[string]any) (string, error) {
	get := map[string]string{}
	for k, v := range parts {
		switch k {
		case "scheme", "host", "path", "query", "opaque", "fragment", "userinfo":
		case "hostname", "port":
			continue // urlParse gives them beside host
		default:
			return "", errors.New("the parts are scheme, userinfo, host, path, query, fragment and opaque")
		}
		if v == nil {
			continue
		}
		s, ok := v.(string)
		if !ok {
			return "", errors.New("the parts must be strings")
		}
		get[k] = s
	}
	u := url.URL{Scheme: get["scheme"], Host: get["host"], Path: get["path"], RawQuery: get["query"],
		Opaque: get["opaque"], Fragment: get["fragment"]}
	if get["userinfo"] != "" {
		user, err := url.Parse("x://" + get["userinfo"] + "@x")
		if err != nil || user.User == nil || user.Host != "x" {
			return "", errors.New("the userinfo is not user:password with both escaped (use urlEscape)")
		}
		u.User = user.User
	}
	return u.String(), nil
}
