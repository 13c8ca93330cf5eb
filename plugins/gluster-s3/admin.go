package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// versityAdmin speaks VersityGW's admin API: PATCH requests with XML bodies, signed
// like S3's. Errors are what S3's are, so that reasonOf reads them.
type versityAdmin struct {
	client   *http.Client
	endpoint string
	sign     func(r *http.Request, body []byte) error
}

func newVersityAdmin(client *http.Client, endpoint, region string, k keys) *versityAdmin {
	return &versityAdmin{client, endpoint, newSigner(region, k)}
}

// account is the body of create-user.
type account struct {
	XMLName xml.Name `xml:"Account"`
	Access  string
	Secret  string
	Role    string
}

// create makes a user that may do nothing but what bucket policies say. A user that
// exists already is reasonExists.
func (a *versityAdmin) create(ctx context.Context, name, secret string) error {
	body, err := xml.Marshal(account{Access: name, Secret: secret, Role: "user"})
	if err != nil {
		return err
	}
	_, err = a.call(ctx, "/create-user", nil, body)
	return err
}

// delete removes a user; it is no error if there is none.
func (a *versityAdmin) delete(ctx context.Context, name string) error {
	_, err := a.call(ctx, "/delete-user", url.Values{"access": {name}}, nil)
	return err
}

// list gives the names of all users. The gateway's answer carries everybody's secrets;
// they are dropped here and appear nowhere else.
func (a *versityAdmin) list(ctx context.Context) ([]string, error) {
	raw, err := a.call(ctx, "/list-users", nil, nil)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Accounts []struct{ Access string } `xml:"Accounts"`
	}
	if err := xml.Unmarshal(raw, &answer); err != nil {
		return nil, &failure{text: "the list of users cannot be read"}
	}
	names := make([]string, 0, len(answer.Accounts))
	for _, u := range answer.Accounts {
		names = append(names, u.Access)
	}
	return names, nil
}

// maxAdminAnswer bounds an answer: some 200 000 users.
const maxAdminAnswer = 64 << 20

// call sends a request, again after failures that say nothing, with growing pauses.
// All calls may be repeated.
func (a *versityAdmin) call(ctx context.Context, path string, query url.Values, body []byte) ([]byte, error) {
	wait := 50 * time.Millisecond
	for try := 0; ; try++ {
		raw, err := a.callOnce(ctx, path, query, body)
		if err == nil || try == maxRetries || reasonOf(err) != reasonUnavailable {
			return raw, err
		}
		if pause(ctx, wait) != nil {
			return nil, err
		}
		wait *= 2
	}
}

func (a *versityAdmin) callOnce(ctx context.Context, path string, query url.Values, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, a.endpoint+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	if err := a.sign(req, body); err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &failure{unanswered: true, text: fmt.Sprintf("the request failed: %v", err)}
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAdminAnswer))
	if err != nil {
		return nil, &failure{unanswered: true, text: fmt.Sprintf("the answer broke off: %v", err)}
	}
	if resp.StatusCode/100 == 2 {
		return raw, nil
	}
	return nil, adminError(resp.StatusCode, raw)
}

// adminError reads an error's body.
func adminError(status int, raw []byte) error {
	var e struct {
		Code    string
		Message string
	}
	if err := xml.Unmarshal(raw, &e); err != nil || e.Code == "" {
		return &failure{status: status, text: fmt.Sprintf("status %d without a reason", status)}
	}
	return &failure{status: status, code: e.Code, text: fmt.Sprintf("%s: %s (status %d)", e.Code, e.Message, status)}
}
