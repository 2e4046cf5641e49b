package standin

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// vectorAPI is the part of Qdrant's HTTP API that a retrieval needs.
func (s *Server) vectorAPI(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /collections", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{"status": "ok", "result": map[string]any{
			"collections": []any{map[string]string{"name": "docs"}},
		}})
	})
	mux.HandleFunc("POST /collections/{collection}/points/search", search)
}

// search finds as many points as were asked for, nearest first.
func search(w http.ResponseWriter, r *http.Request) {
	var query struct {
		Vector []float64 `json:"vector"`
		Limit  int       `json:"limit"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&query); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the search is not JSON: %v", err))
		return
	}
	if len(query.Vector) == 0 || query.Limit < 1 || query.Limit > 100 {
		refuse(w, http.StatusBadRequest, "a search needs a vector and a limit from 1 to 100")
		return
	}
	points := []any{}
	for i := range query.Limit {
		points = append(points, map[string]any{
			"id": i + 1, "version": 0, "score": 1 / float64(i+1),
			"payload": map[string]string{"text": fmt.Sprintf("passage %d of %s", i+1, r.PathValue("collection"))},
		})
	}
	answer(w, http.StatusOK, map[string]any{"status": "ok", "result": points})
}

// featureAPI is the part of Feast's feature server that readers use.
func (s *Server) featureAPI(mux *http.ServeMux) {
	mux.HandleFunc("POST /get-online-features", features)
}

// features answers with one value per feature and entity.
func features(w http.ResponseWriter, r *http.Request) {
	var query struct {
		Features []string            `json:"features"`
		Entities map[string][]string `json:"entities"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&query); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("the request is not JSON: %v", err))
		return
	}
	if len(query.Features) == 0 || len(query.Entities) == 0 {
		refuse(w, http.StatusBadRequest, "name features and entities")
		return
	}
	results := []any{}
	for range query.Features {
		for _, ids := range query.Entities {
			values, statuses := make([]string, len(ids)), make([]string, len(ids))
			for i, id := range ids {
				values[i], statuses[i] = "of "+id, "PRESENT"
			}
			results = append(results, map[string]any{"values": values, "statuses": statuses})
		}
	}
	answer(w, http.StatusOK, map[string]any{
		"metadata": map[string]any{"feature_names": query.Features}, "results": results,
	})
}
