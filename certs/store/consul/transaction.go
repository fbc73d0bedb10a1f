package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"
)

// transact has Consul do all of some operations or none, and gives the keys that they found or made. Where what is there
// does not allow it, the error is a *refusal.
func (s *Store) transact(ctx context.Context, operations ...*api.KVTxnOp) ([]*api.KVPair, error) {
	const path = "/v1/txn"
	var body api.TxnOps
	var names []string
	for _, operation := range operations {
		body = append(body, &api.TxnOp{KV: operation})
		names = append(names, string(operation.Verb)+" "+operation.Key)
	}
	var pairs []*api.KVPair
	asked := slog.String("operations", strings.Join(names, ", "))
	err := s.exchange(ctx, http.MethodPut, path, asked, func(ctx context.Context) error {
		var done api.TxnResponse
		_, err := s.client.Raw().Write(path, body, &done, new(api.WriteOptions).WithContext(ctx))
		var status api.StatusError
		switch {
		case errors.As(err, &status) && status.Code == http.StatusConflict:
			return refused(status.Body)
		case err != nil:
			return err
		}
		for _, result := range done.Results {
			if result != nil && result.KV != nil {
				pairs = append(pairs, result.KV)
			}
		}
		if len(pairs) == 0 { // each of ours has an operation that leaves something
			return errors.New("the answer is not that of a transaction")
		}
		return nil
	})
	return pairs, err
}

// A refusal says why a transaction was not done.
type refusal struct{ reasons api.TxnErrors }

// refused reads the answer 409.
func refused(body string) error {
	var response api.TxnResponse
	if err := json.Unmarshal([]byte(body), &response); err != nil || len(response.Errors) == 0 {
		return errors.New("the answer is not that of a transaction")
	}
	for _, reason := range response.Errors {
		// The one reason that has nothing to do with what is there, in the words of Consul's package acl.
		if strings.Contains(reason.What, "Permission denied") {
			return &answer{http.StatusForbidden, reason.What}
		}
	}
	return &refusal{response.Errors}
}

// first is the number of the first operation that could not be done, from 0.
func (r *refusal) first() int {
	first := r.reasons[0].OpIndex
	for _, reason := range r.reasons {
		first = min(first, reason.OpIndex)
	}
	return first
}

// has says whether a part of a sentence is among the reasons.
func (r *refusal) has(words string) bool {
	for _, reason := range r.reasons {
		if strings.Contains(reason.What, words) {
			return true
		}
	}
	return false
}

func (r *refusal) Error() string {
	var reasons []string
	for _, reason := range r.reasons {
		reasons = append(reasons, reason.What)
	}
	return fmt.Sprintf("Consul refused: %s", strings.Join(reasons, "; "))
}
