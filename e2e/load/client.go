package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// requestTimeout bounds one request with its answer; a synchronous one may wait for the
// broker's whole budget.
const requestTimeout = 2 * time.Minute

// client is one kept-alive connection of HTTP/1.1, for one goroutine. It does less
// than net/http's, which would take as much of the machine as the broker that it measures.
type client struct {
	address  string
	header   string // the lines that every request has
	dialer   net.Dialer
	conn     net.Conn
	in       *bufio.Reader
	out      []byte
	answered http.Header // of the last answer
}

// newClient makes a client of the broker at base (scheme http); it connects with the first request.
func newClient(base, user, password string) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%q is not of the form http://host:port", base)
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Host, "80")
	}
	header := "Host: " + u.Host + "\r\nX-Broker-API-Version: 2.17\r\n"
	if user != "" {
		header += "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + "\r\n"
	}
	return &client{address: address, header: header}, nil
}

// do sends one request and gives status and body. extra are header lines that end
// with CRLF. After an error the next request makes a new connection.
func (c *client) do(ctx context.Context, method, target, extra string, body []byte) (status int, answer []byte, err error) {
	if c.conn == nil {
		if c.conn, err = c.dialer.DialContext(ctx, "tcp", c.address); err != nil {
			return 0, nil, err
		}
		c.in = bufio.NewReaderSize(c.conn, 64<<10)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	status, answer, err = c.exchange(method, target, extra, body)
	if err != nil {
		c.close()
		err = fmt.Errorf("%s %s: %w", method, target, err)
	}
	return status, answer, err
}

func (c *client) exchange(method, target, extra string, body []byte) (int, []byte, error) {
	_ = c.conn.SetDeadline(time.Now().Add(requestTimeout)) // an error shows at the next write
	c.out = append(append(append(c.out[:0], method...), ' '), target...)
	c.out = append(append(append(c.out, " HTTP/1.1\r\n"...), c.header...), extra...)
	if body != nil {
		c.out = append(c.out, "Content-Type: application/json\r\nContent-Length: "...)
		c.out = append(strconv.AppendInt(c.out, int64(len(body)), 10), "\r\n"...)
	}
	c.out = append(append(c.out, "\r\n"...), body...)
	if _, err := c.conn.Write(c.out); err != nil {
		return 0, nil, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, nil, err
	}
	c.answered = resp.Header
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.Close {
		c.close()
	}
	return resp.StatusCode, answer, err
}

// close ends the connection.
func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
