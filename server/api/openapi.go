package api

import (
	_ "embed"
	"encoding/json"
)

// openAPI is the description of the API, made of the route table and the types of its bodies. The test that holds it
// against them rewrites it with -update.
//
//go:embed openapi.json
var openAPI []byte

type document = json.RawMessage

func (h *Handler) openAPI(*call) (any, error) { return document(openAPI), nil }

type health struct {
	Status string `json:"status"` // ok
}

func (h *Handler) health(*call) (any, error) { return health{"ok"}, nil }

// done is the answer where there is nothing to say.
type done struct{}

// count says how many rows were taken.
type count struct {
	Count int `json:"count"`
}
