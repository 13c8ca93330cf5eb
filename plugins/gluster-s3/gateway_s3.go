package main

import (
	"context"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// s3Gateway is the gateway that speaks S3. What is one plain call is s3Calls' own
// method; here is what takes more.
type s3Gateway struct {
	s3Calls
	region string
}

func newS3Gateway(client *http.Client, endpoint, region string, pathStyle bool, k keys) *s3Gateway {
	return &s3Gateway{s3Calls: newS3Calls(client, endpoint, region, pathStyle, k), region: region}
}

var _ gateway = (*s3Gateway)(nil)

func (s *s3Gateway) exists(ctx context.Context, bucket string) (now time.Time, err error) {
	date, err := s.head(ctx, bucket)
	now, _ = http.ParseTime(date)
	// An answer to HEAD has no body to say why: a bucket of somebody else's and keys
	// that the gateway does not know are both just 403. Ask for a reason.
	switch reasonOf(err) {
	case reasonDenied, reasonOther:
		if why := s.location(ctx, bucket); why != nil {
			err = why
		}
	}
	return now, err
}

func (s *s3Gateway) create(ctx context.Context, bucket string, marks map[string]string) error {
	if marks == nil {
		return s.createWith(ctx, bucket, nil)
	}
	body := createBody{Tags: sortedTags(marks)}
	if s.region != defaultRegion {
		body.LocationConstraint = s.region
	}
	raw, err := xml.Marshal(body)
	if err != nil {
		return err
	}
	return s.createWith(ctx, bucket, raw)
}

// sortedTags are tags in the order of their keys.
func sortedTags(tags map[string]string) []tag {
	list := make([]tag, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, tag{Key: k, Value: tags[k]})
	}
	return list
}

func (s *s3Gateway) setTags(ctx context.Context, bucket string, tags map[string]string) error {
	if len(tags) == 0 {
		return s.deleteTags(ctx, bucket)
	}
	return s.putTags(ctx, bucket, sortedTags(tags))
}

// urlEncoding is the one encoding of keys in listings, besides none.
const urlEncoding = "url"

// page is a page of a listing as the gateway sent it.
type page struct {
	objects   []object
	encoding  string // of the keys: urlEncoding or ""
	truncated bool   // there are more pages
}

func (s *s3Gateway) versions(ctx context.Context, bucket string, limit int64, l listing) ([]object, error) {
	list := s.listVersions
	if l.current {
		list = s.listCurrent
	}
	encoding := ""
	if l.encoded {
		encoding = urlEncoding
	}
	p, err := list(ctx, bucket, limit, encoding)
	if err != nil {
		return nil, err
	}
	return p.decode()
}

// decode gives a page's objects. It refuses a page without any that is not the last:
// it must not be taken for an empty bucket.
func (p page) decode() ([]object, error) {
	if len(p.objects) == 0 && p.truncated {
		return nil, errTruncated
	}
	for i := range p.objects {
		p.objects[i].key = decodeKey(p.objects[i].key, p.encoding)
	}
	return p.objects, nil
}

// decodeKey undoes the encoding that the answer says it has.
func decodeKey(key, encoding string) string {
	if encoding != urlEncoding {
		return key
	}
	if plain, err := url.QueryUnescape(key); err == nil {
		return plain
	}
	return key
}

func (s *s3Gateway) delete(ctx context.Context, bucket string, objects []object) (deletion, error) {
	single := 0
	batch := make([]object, 0, len(objects))
	for _, o := range objects {
		if fitsXML(o.key) {
			batch = append(batch, o)
			continue
		}
		if err := s.deleteOne(ctx, bucket, o); err != nil {
			return deletion{deleted: single}, err
		}
		single++
	}
	if len(batch) == 0 {
		return deletion{deleted: single}, nil
	}
	d, err := s.deleteMany(ctx, bucket, batch)
	d.deleted += single
	return d, err
}

// fitsXML tells whether a key arrives unchanged in the body of a DeleteObjects.
func fitsXML(key string) bool {
	return !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == '\uFFFD' || r == '\uFFFE' || r == '\uFFFF' })
}

func (s *s3Gateway) uploads(ctx context.Context, bucket string) ([]upload, error) {
	list, encoding, err := s.listUploads(ctx, bucket, urlEncoding)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].key = decodeKey(list[i].key, encoding)
	}
	return list, nil
}
