package minilm

import "fmt"

// weights are all of the model's, the linear layers packed.
type weights struct {
	words, positions []float32 // rows of width
	kind             []float32 // token type 0
	norm             layerNorm
	layers           [layers]layer
}

type layer struct {
	attention     linear // query, key and value side by side
	output        linear
	up, down      linear
	attentionNorm layerNorm
	norm          layerNorm
}

type layerNorm struct{ gain, bias []float32 }

// readWeights checks every tensor that the model uses, then packs the linear
// layers into memory, which has packedSize floats, in panels. What it does not pack stays
// where it is.
func readWeights(file tensors, memory []float32, panel int, c *crew) (weights, error) {
	r := &reader{tensors: file}
	w := weights{
		words:     r.read("embeddings.word_embeddings.weight", vocabularySize, width),
		positions: r.read("embeddings.position_embeddings.weight", positions, width),
		kind:      r.read("embeddings.token_type_embeddings.weight", 2, width),
		norm:      r.norm("embeddings.LayerNorm"),
	}
	var packs []func()
	take := func(to *linear, inputs int, parts ...part) {
		size := 0
		for _, p := range parts {
			size += len(p.weights)
		}
		mine := memory[:size]
		memory = memory[size:]
		packs = append(packs, func() { *to = pack(mine, panel, inputs, parts...) })
	}
	for i := range w.layers {
		l, at := &w.layers[i], fmt.Sprintf("encoder.layer.%d.", i)
		take(&l.attention, width,
			r.part(at+"attention.self.query", width, width),
			r.part(at+"attention.self.key", width, width),
			r.part(at+"attention.self.value", width, width))
		take(&l.output, width, r.part(at+"attention.output.dense", width, width))
		take(&l.up, width, r.part(at+"intermediate.dense", inner, width))
		take(&l.down, inner, r.part(at+"output.dense", width, inner))
		l.attentionNorm, l.norm = r.norm(at+"attention.output.LayerNorm"), r.norm(at+"output.LayerNorm")
	}
	if r.err != nil {
		return weights{}, r.err
	}
	c.begin()
	defer c.end()
	c.run(len(packs), func(_, i int) { packs[i]() })
	return w, nil
}

func (r *reader) norm(name string) layerNorm {
	return layerNorm{gain: r.copied(name+".weight", width), bias: r.copied(name+".bias", width)}
}

func (r *reader) part(name string, outputs, inputs int) part {
	return part{weights: r.read(name+".weight", outputs, inputs), bias: r.read(name+".bias", outputs)}
}

// copied is for the small tensors, which would each hold a page of the file.
func (r *reader) copied(name string, n int) []float32 {
	return append([]float32(nil), r.read(name, n)...)
}
