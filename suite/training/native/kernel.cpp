// Training steps of stacked multilayer perceptrons on one CPU thread. Knows pointers and sizes, no Python and no torch.
//
// One replicate after the other runs all its steps, so that its weights stay in the cache. Every working matrix is kept
// in scratch memory whose rows are padded to whole vectors; the padding never reaches a result.
//
// Rounding. Every element of a product is one chain of multiply-adds over the reduced index in ascending order, whatever
// the tile it falls into, whether the chain is kept in registers or set down in memory between two blocks. So the bits
// of a replicate depend on its own numbers alone: not on other replicates, on where memory lies, or on how many steps
// one call takes. Formulas that exist twice (in registers, and in update_row) have one product per sum, so that a
// compiler has only one way to contract them.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#define TILE_ROWS 8      // rows of a register tile
#define TILE_VECTORS 3   // vectors per row of a register tile: 24 accumulators of 32 registers
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define TILE_ROWS 8
#define TILE_VECTORS 2
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define TILE_ROWS 6
#define TILE_VECTORS 2
#else
#define VECTOR_BYTES 16
#define TILE_ROWS 6
#define TILE_VECTORS 2
#endif

#define NARROW_ROWS (TILE_ROWS * 2)  // of a tile of one vector per row, where the pointers allow it

#define UNROLL _Pragma("GCC unroll 16")
#define NOINLINE __attribute__((noinline))

namespace {

constexpr long LINE = 64;          // bytes of a cache line
constexpr long DEPTH_BLOCK = 256;  // reduced indices per block: a panel of B then stays in the first-level cache

template <class T>
struct Vector {
    typedef T type __attribute__((vector_size(VECTOR_BYTES)));
    using mask = decltype(type{} <= type{});
    static constexpr long lanes = VECTOR_BYTES / sizeof(T);
};
template <class T>
using V = typename Vector<T>::type;
template <class T>
using M = typename Vector<T>::mask;
template <class T>
using Int = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

template <class T>
inline V<T> load(const T* at) {
    return *reinterpret_cast<const V<T>*>(at);
}
template <class T>
inline void store(T* at, V<T> value) {
    *reinterpret_cast<V<T>*>(at) = value;
}
template <class T>
inline V<T> splat(T value) {
    V<T> all;
    for (long i = 0; i < Vector<T>::lanes; i++) all[i] = value;
    return all;
}

inline long up(long value, long step) { return (value + step - 1) / step * step; }

// Scratch memory on a cache line, zero.
template <class T>
class Buffer {
   public:
    explicit Buffer(long count = 0) : count_(count) {
        if (!count) return;
        const std::size_t bytes = up(count * static_cast<long>(sizeof(T)), LINE);
        data_ = static_cast<T*>(std::aligned_alloc(LINE, bytes));
        if (!data_) throw std::bad_alloc();
        std::memset(data_, 0, bytes);
    }
    Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), count_(other.count_) {}
    Buffer(const Buffer&) = delete;
    Buffer& operator=(Buffer&&) = delete;
    ~Buffer() { std::free(data_); }
    T* get() const { return data_; }
    void clear() { std::memset(data_, 0, count_ * sizeof(T)); }

   private:
    T* data_ = nullptr;
    long count_;
};

// Elements from one row to the next: whole vectors, and an odd number of cache lines, so that the rows of a panel
// spread over all sets of the cache.
template <class T>
long stride_of(long columns) {
    const long per_line = LINE / static_cast<long>(sizeof(T));
    const long lines = up(columns, per_line) / per_line;
    return (lines | 1) * per_line;
}

// ---------------------------------------------------------------------------------------------------------- shuffles

#if defined(__GNUC__) && !defined(__clang__)
template <class T>
inline V<T> shuffle(V<T> a, V<T> b, M<T> from) {
    return __builtin_shuffle(a, b, from);
}
#else
template <class T>
inline V<T> shuffle(V<T> a, V<T> b, M<T> from) {
    V<T> out;
    for (long i = 0; i < Vector<T>::lanes; i++)
        out[i] = from[i] < Vector<T>::lanes ? a[from[i]] : b[from[i] - Vector<T>::lanes];
    return out;
}
#endif

template <class T>
constexpr M<T> interleaved(long first) {
    constexpr long n = Vector<T>::lanes;
    M<T> from{};
    for (long i = 0; i < n; i++) from[i] = first + i / 2 + (i % 2) * n;
    return from;
}

// Transposes a square of vectors held in registers.
template <class T>
inline void transpose(V<T> (&row)[Vector<T>::lanes]) {
    constexpr long n = Vector<T>::lanes;
    const M<T> low = interleaved<T>(0), high = interleaved<T>(n / 2);
    V<T> next[n];
    UNROLL for (long stage = 1; stage < n; stage *= 2) {
        UNROLL for (long i = 0; i < n / 2; i++) {
            next[2 * i] = shuffle<T>(row[i], row[i + n / 2], low);
            next[2 * i + 1] = shuffle<T>(row[i], row[i + n / 2], high);
        }
        UNROLL for (long i = 0; i < n; i++) row[i] = next[i];
    }
}

// to[columns][rows] = from[rows][columns] transposed. Both are read and written in whole squares of vectors.
template <class T>
NOINLINE void transpose(const T* from, long ld_from, long rows, long columns, T* to, long ld_to) {
    constexpr long n = Vector<T>::lanes;
    for (long r = 0; r < rows; r += n)
        for (long c = 0; c < columns; c += n) {
            V<T> square[n];
            UNROLL for (long i = 0; i < n; i++) square[i] = load(from + (r + i) * ld_from + c);
            transpose<T>(square);
            UNROLL for (long i = 0; i < n; i++) store(to + (c + i) * ld_to + r, square[i]);
        }
}

// --------------------------------------------------------------------------------------------------------------- exp

template <class T>
struct Exp;
template <>
struct Exp<float> {
    static constexpr float magic = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer, left in the low bits
    static constexpr float ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f, least = -104.0f;
    static constexpr int bias = 127, mantissa = 23, degree = 7;
};
template <>
struct Exp<double> {
    static constexpr double magic = 6755399441055744.0;  // 1.5 · 2^52
    static constexpr double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33, least = -746.0;
    static constexpr int bias = 1023, mantissa = 52, degree = 13;
};

template <class T>
constexpr T inverse_factorial(int n) {
    double value = 1;
    for (int i = 2; i <= n; i++) value *= i;
    return static_cast<T>(1 / value);
}

// e^x for x ≤ 0 or NaN: x = n ln 2 + r, Taylor's polynomial of e^r on |r| ≤ ln 2 / 2, times 2^n in two factors so that
// results below the smallest normal number come out rounded, not cut to zero.
template <class T>
inline V<T> exponential(V<T> x) {
    using E = Exp<T>;
    const V<T> least = splat<T>(E::least);
    x = x < least ? least : x;
    const V<T> shifted = x * static_cast<T>(1.4426950408889634) + E::magic;
    const V<T> n = shifted - E::magic;
    V<T> r = x - n * E::ln2_high;
    r = r - n * E::ln2_low;
    V<T> sum = splat<T>(inverse_factorial<T>(E::degree));
    UNROLL for (int k = E::degree - 1; k >= 0; k--) sum = sum * r + inverse_factorial<T>(k);
    const M<T> whole = reinterpret_cast<M<T>>(shifted) - reinterpret_cast<M<T>>(splat<T>(E::magic));
    const M<T> half = whole >> 1;
    const V<T> first = reinterpret_cast<V<T>>((half + E::bias) << E::mantissa);
    const V<T> second = reinterpret_cast<V<T>>((whole - half + E::bias) << E::mantissa);
    return sum * first * second;
}

// ---------------------------------------------------------------------------------------------------------- optimizer

enum Optimizer { SGD = 0, ADAM = 1 };

// One step's constants for one kind of parameter.
template <class T>
struct Rule {
    int optimizer;
    bool momentum, nesterov, l2, in_registers;
    T lr, mu, decay, shrink;                                   // shrink = 1 - lr · decay of decoupled decay, else 1
    T lerp1, rest1, beta2, rest2, scale_second, eps, step;     // Adam's
    bool late;                                                 // which of lerp's two forms torch takes
};

// One parameter of one replicate in scratch: values, the optimizer's memory, the gradient and its largest element so far.
template <class T>
struct Parameter {
    Buffer<T> value, first, second, gradient;
    Buffer<Int<T>> peak;  // bits of max |g| per column; as integers these are ordered like the numbers, NaN above all
    long rows, columns, stride;
    Parameter(long rows_, long columns_, long memories)
        : value(up(rows_, Vector<T>::lanes) * stride_of<T>(columns_)),
          first(memories > 0 ? rows_ * stride_of<T>(columns_) : 0),
          second(memories > 1 ? rows_ * stride_of<T>(columns_) : 0),
          gradient(rows_ * stride_of<T>(columns_)),
          peak(stride_of<T>(columns_)),
          rows(rows_),
          columns(columns_),
          stride(stride_of<T>(columns_)) {}
};

template <class T>
inline M<T> magnitude_bits(V<T> value) {
    return reinterpret_cast<M<T>>(value) & std::numeric_limits<Int<T>>::max();
}
template <class T>
inline M<T> load_bits(const Int<T>* at) {
    return *reinterpret_cast<const M<T>*>(at);
}
template <class T>
inline void store_bits(Int<T>* at, M<T> bits) {
    *reinterpret_cast<M<T>*>(at) = bits;
}

template <class T>
inline V<T> square_root(V<T> x) {
    V<T> root;
    for (long i = 0; i < Vector<T>::lanes; i++) root[i] = std::sqrt(x[i]);
    return root;
}

// The update of torch.optim, element by element, on `count` elements (whole vectors) of a parameter from `at` on.
template <class T>
NOINLINE void update_row(const Rule<T>& rule, const Parameter<T>& p, long at, long column, const T* gradient, long count, bool keep) {
    T* value = p.value.get() + at;
    T* first = p.first.get() + at;
    T* second = p.second.get() + at;
    T* kept = p.gradient.get() + at;
    Int<T>* peak = p.peak.get() + column;
    for (long i = 0; i < count; i += Vector<T>::lanes) {
        V<T> g = load(gradient + i);
        const M<T> bits = magnitude_bits<T>(g), before = load_bits<T>(peak + i);
        store_bits<T>(peak + i, bits > before ? bits : before);
        if (keep) store(kept + i, g);
        V<T> w = load(value + i);
        if (rule.l2) g = w * rule.decay + g;
        if (rule.optimizer == SGD) {
            if (rule.momentum) {
                const V<T> v = load(first + i) * rule.mu + g;
                store(first + i, v);
                g = rule.nesterov ? v * rule.mu + g : v;
            }
            if (rule.shrink != 1) w = w * rule.shrink;
            store(value + i, w - g * rule.lr);
        } else {
            V<T> m = load(first + i);
            m = rule.late ? g - (g - m) * rule.rest1 : m + (g - m) * rule.lerp1;
            const V<T> s = load(second + i) * rule.beta2 + g * g * rule.rest2;
            store(first + i, m);
            store(second + i, s);
            const V<T> below = square_root<T>(s) * rule.scale_second + rule.eps;
            if (rule.shrink != 1) w = w * rule.shrink;
            store(value + i, w - m / below * rule.step);
        }
    }
}

// ----------------------------------------------------------------------------------------------------------- products

enum Finish { PLAIN, HIDDEN, BACK };

// C = start + A · B, and what becomes of a finished tile. A's rows are given by pointers, so a batch is never gathered.
template <class T>
struct Product {
    const T* const* rows;
    long depth;
    const T* b;
    long ldb;
    T* c;
    long ldc;
    const T* start;  // added to every row (a bias), or null
    Finish finish;   // HIDDEN: C becomes the activation; BACK: C becomes the gradient of the pre-activation
    bool leaky;
    T slope;
    T* pre;          // HIDDEN: where to leave the pre-activation, or null
    const T* sign;   // BACK: what is above zero where the pre-activation is
    Int<T>* asleep;  // HIDDEN: per column all ones as long as no pre-activation was above zero
};

template <class T, int MR, int NR>
NOINLINE void product_tile(const Product<T>& p, long row, long column, long from, long to) {
    constexpr long n = Vector<T>::lanes;
    V<T> sum[MR][NR];
    T* c = p.c + row * p.ldc + column;
    if (from) {
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++) sum[i][j] = load(c + i * p.ldc + j * n);
    } else {
        UNROLL for (int j = 0; j < NR; j++) {
            const V<T> start = p.start ? load(p.start + column + j * n) : V<T>{};
            UNROLL for (int i = 0; i < MR; i++) sum[i][j] = start;
        }
    }
    const T* a[MR];
    UNROLL for (int i = 0; i < MR; i++) a[i] = p.rows[row + i];
    const T* b = p.b + from * p.ldb + column;
    for (long k = from; k < to; k++, b += p.ldb) {
        V<T> across[NR];
        UNROLL for (int j = 0; j < NR; j++) across[j] = load(b + j * n);
        UNROLL for (int i = 0; i < MR; i++) {
            const T down = a[i][k];
            UNROLL for (int j = 0; j < NR; j++) sum[i][j] += across[j] * down;
        }
    }
    const V<T> zero{};
    if (to < p.depth || p.finish == PLAIN) {
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++) store(c + i * p.ldc + j * n, sum[i][j]);
    } else if (p.finish == HIDDEN) {
        if (p.pre) {
            T* pre = p.pre + row * p.ldc + column;
            UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++) store(pre + i * p.ldc + j * n, sum[i][j]);
        }
        UNROLL for (int j = 0; j < NR; j++) {
            M<T> asleep = load_bits<T>(p.asleep + column + j * n);
            UNROLL for (int i = 0; i < MR; i++) {
                const V<T> x = sum[i][j];
                const M<T> off = x <= zero;
                asleep &= off;
                store(c + i * p.ldc + j * n, p.leaky ? (x > zero ? x : x * p.slope) : (off ? zero : x));
            }
            store_bits<T>(p.asleep + column + j * n, asleep);
        }
    } else {
        const T* sign = p.sign + row * p.ldc + column;
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++) {
            const V<T> x = load(sign + i * p.ldc + j * n), g = sum[i][j];
            store(c + i * p.ldc + j * n, p.leaky ? (x > zero ? g : g * p.slope) : (x <= zero ? zero : g));
        }
    }
}

// The gradient of a weight, Xᵀ · D, and its update, tile by tile.
template <class T>
struct Descent {
    const T* const* rows;  // of X
    long batch;
    const T* d;
    long ldd;
    const Parameter<T>* weight;
    const Rule<T>* rule;
    bool keep;  // the gradient, for the caller
};

template <class T, int MR, int NR>
NOINLINE void descent_tile(const Descent<T>& p, long row, long column, long from, long to) {
    constexpr long n = Vector<T>::lanes;
    const Parameter<T>& weight = *p.weight;
    const Rule<T>& rule = *p.rule;
    const long ld = weight.stride, at = row * ld + column;
    V<T> sum[MR][NR];
    T* partial = weight.gradient.get() + at;
    if (from) {
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++) sum[i][j] = load(partial + i * ld + j * n);
    } else {
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++) sum[i][j] = V<T>{};
    }
    const T* d = p.d + from * p.ldd + column;
    for (long k = from; k < to; k++, d += p.ldd) {
        const T* x = p.rows[k] + row;
        V<T> across[NR];
        UNROLL for (int j = 0; j < NR; j++) across[j] = load(d + j * n);
        UNROLL for (int i = 0; i < MR; i++) {
            const T down = x[i];
            UNROLL for (int j = 0; j < NR; j++) sum[i][j] += across[j] * down;
        }
    }
    if (to < p.batch) {
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++) store(partial + i * ld + j * n, sum[i][j]);
    } else if (rule.in_registers && !p.keep) {
        T* value = weight.value.get() + at;
        T* first = weight.first.get() + at;
        UNROLL for (int j = 0; j < NR; j++) {
            M<T> peak = load_bits<T>(weight.peak.get() + column + j * n);
            UNROLL for (int i = 0; i < MR; i++) {
                const M<T> bits = magnitude_bits<T>(sum[i][j]);
                peak = bits > peak ? bits : peak;
            }
            store_bits<T>(weight.peak.get() + column + j * n, peak);
        }
        if (rule.momentum) {
            UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++) {
                sum[i][j] = load(first + i * ld + j * n) * rule.mu + sum[i][j];
                store(first + i * ld + j * n, sum[i][j]);
            }
        }
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++)
            store(value + i * ld + j * n, load(value + i * ld + j * n) - sum[i][j] * rule.lr);
    } else {
        alignas(LINE) T tile[MR][NR * n];
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++) store(tile[i] + j * n, sum[i][j]);
        for (int i = 0; i < MR; i++) update_row<T>(rule, weight, at + i * ld, column, tile[i], NR * n, p.keep);
    }
}

template <class P>
using Tile = void (*)(const P&, long row, long column, long from, long to);

// The compiled tiles of either kind, found by their rows and vectors.
template <class T>
struct Tiles {
    template <std::size_t... I>
    static constexpr std::array<Tile<Product<T>>, sizeof...(I)> products(std::index_sequence<I...>) {
        return {product_tile<T, I / TILE_VECTORS + 1, I % TILE_VECTORS + 1>...};
    }
    template <std::size_t... I>
    static constexpr std::array<Tile<Descent<T>>, sizeof...(I)> descents(std::index_sequence<I...>) {
        return {descent_tile<T, I / TILE_VECTORS + 1, I % TILE_VECTORS + 1>...};
    }
    template <std::size_t... I>
    static constexpr std::array<Tile<Descent<T>>, sizeof...(I)> narrow_descents(std::index_sequence<I...>) {
        return {descent_tile<T, I + 1, 1>...};
    }
    using all = std::make_index_sequence<TILE_ROWS * TILE_VECTORS>;
    static constexpr auto product = products(all{});
    static constexpr auto descent = descents(all{});
    static constexpr auto narrow = narrow_descents(std::make_index_sequence<NARROW_ROWS>{});

    static long most_rows(const Product<T>&, long) { return TILE_ROWS; }
    static long most_rows(const Descent<T>&, long vectors) { return vectors == 1 ? NARROW_ROWS : TILE_ROWS; }
    static Tile<Product<T>> find(const Product<T>&, long rows, long vectors) { return product[(rows - 1) * TILE_VECTORS + vectors - 1]; }
    static Tile<Descent<T>> find(const Descent<T>&, long rows, long vectors) {
        return vectors == 1 ? narrow[rows - 1] : descent[(rows - 1) * TILE_VECTORS + vectors - 1];
    }
};

// Cuts `count` into as few pieces of at most `most` as can be, of sizes that differ by at most one.
struct Cut {
    long pieces, size, longer;
    Cut(long count, long most) : pieces((count + most - 1) / most), size(count / pieces), longer(count % pieces) {}
    long operator[](long piece) const { return size + (piece < longer); }
};

// Rows × columns of a result in tiles, the reduction in blocks. Columns are the outer loop, so that the panel of the
// right factor that a block needs is read from the first-level cache by all tiles below each other.
template <class T, class P>
void tiled(const P& p, long rows, long columns, long depth) {
    constexpr long n = Vector<T>::lanes;
    const Cut across(up(columns, n) / n, TILE_VECTORS), deep(depth, DEPTH_BLOCK);
    const Cut down(rows, Tiles<T>::most_rows(p, across[0]));
    for (long block = 0, from = 0; block < deep.pieces; from += deep[block++])
        for (long panel = 0, column = 0; panel < across.pieces; column += across[panel++] * n)
            for (long tile = 0, row = 0; tile < down.pieces; row += down[tile++])
                Tiles<T>::find(p, down[tile], across[panel])(p, row, column, from, from + deep[block]);
}

// --------------------------------------------------------------------------------------------------------- one network

}  // namespace

extern "C" {

// What one call needs; the Python side holds the same structure. Sizes are counted in elements.
struct Task {
    int64_t replicates, steps, batch, examples, linears;
    const int64_t* sizes;  // linears + 1: inputs, hidden widths, outputs
    int64_t leaky, loss, optimizer, nesterov, decoupled, taken;
    double slope, lr, momentum, beta1, beta2, eps, decay_weights, decay_biases;
    const void* train_x;
    const void* train_y;
    const int64_t* indices;
    void* losses;    // [replicate, step]
    double* asleep;  // [replicate, step]
    void* peaks;     // [parameter, replicate]
    // Parameters are weight and bias of every linear map in turn, [replicate, ...] each. The tables follow each other:
    // values, gradients, the optimizer's memories, one after the other; then the pre-activations per hidden layer.
    void* const* tensors;
};
}

namespace {

enum Loss { CROSS_ENTROPY = 0, SQUARED_LABELS = 1, SQUARED_TARGETS = 2 };

template <class T>
class Network {
   public:
    explicit Network(const Task& task)
        : t(task), linears(task.linears), batch(task.batch), memories(t.optimizer == ADAM ? 2 : t.momentum != 0) {
        const long rows = up(batch, n);  // the losses work on squares of vectors
        long widest = 0, deepest = 0;
        for (long l = 0; l < linears; l++) {
            const long in = t.sizes[l], out = t.sizes[l + 1], stride = stride_of<T>(out);
            parameters.emplace_back(in, out, memories);
            parameters.emplace_back(1, out, memories);
            pre.emplace_back(l + 1 < linears ? rows * stride : 0);
            post.emplace_back(rows * stride);
            delta.emplace_back(rows * stride);
            asleep.emplace_back(stride);
            inputs.emplace_back(batch);
            deltas.emplace_back(batch);
            for (long b = 0; b < batch; b++) {
                deltas[l][b] = delta[l].get() + b * stride;
                if (l) inputs[l][b] = post[l - 1].get() + b * stride_of<T>(in);
            }
            if (l) widest = std::max(widest, stride_of<T>(in)), deepest = std::max(deepest, up(out, n));
            if (l + 1 < linears) units += out;
        }
        transposed = std::make_unique<Buffer<T>>(widest * deepest);
        turned = std::make_unique<Buffer<T>>(up(t.sizes[linears], n) * n);
        sums = std::make_unique<Buffer<T>>(rows);
        tops = std::make_unique<Buffer<T>>(rows);
        row_sum = std::make_unique<Buffer<T>>(stride_of<T>(*std::max_element(t.sizes, t.sizes + linears + 1)));
    }

    void run(long replicate) {
        move<true>(replicate);
        for (auto& p : parameters) p.peak.clear();
        for (long s = 0; s < t.steps; s++) step(replicate, s);
        move<false>(replicate);
    }

   private:
    static constexpr long n = Vector<T>::lanes;
    const Task& t;
    const long linears, batch, memories;
    long units = 0;
    std::vector<Parameter<T>> parameters;
    std::vector<Buffer<T>> pre, post, delta;  // post of the last map: the output
    std::vector<Buffer<Int<T>>> asleep;
    std::vector<std::vector<const T*>> inputs, deltas;
    std::unique_ptr<Buffer<T>> transposed, row_sum, turned, sums, tops;

    static void copy(const T* from, long ld_from, T* to, long ld_to, long rows, long columns) {
        for (long r = 0; r < rows; r++) std::memcpy(to + r * ld_to, from + r * ld_from, columns * sizeof(T));
    }

    // Into scratch memory before the first step, out of it after the last.
    template <bool in>
    void move(long replicate) {
        for (std::size_t i = 0; i < parameters.size(); i++) {
            Parameter<T>& p = parameters[i];
            const long size = p.rows * p.columns;
            auto one = [&](long table, const Buffer<T>& inside) {
                if (!inside.get()) return;
                T* dense = static_cast<T*>(t.tensors[table * parameters.size() + i]) + replicate * size;
                if (in)
                    copy(dense, p.columns, inside.get(), p.stride, p.rows, p.columns);
                else
                    copy(inside.get(), p.stride, dense, p.columns, p.rows, p.columns);
            };
            one(0, p.value);
            one(2, p.first);
            one(3, p.second);
            if (in) continue;
            one(1, p.gradient);
            const Int<T> top = *std::max_element(p.peak.get(), p.peak.get() + p.columns);
            std::memcpy(static_cast<T*>(t.peaks) + i * t.replicates + replicate, &top, sizeof(T));
        }
        if (in) return;
        for (long l = 0; l + 1 < linears; l++) {
            const long width = t.sizes[l + 1];
            T* dense = static_cast<T*>(t.tensors[(2 + memories) * parameters.size() + l]) + replicate * batch * width;
            copy(pre[l].get(), stride_of<T>(width), dense, width, batch, width);
        }
    }

    Rule<T> rule(double decay, long taken) const {
        Rule<T> r{};
        r.optimizer = static_cast<int>(t.optimizer);
        r.momentum = t.momentum != 0;
        r.nesterov = t.nesterov != 0;
        r.l2 = decay != 0 && !t.decoupled;
        r.in_registers = r.optimizer == SGD && !r.nesterov && decay == 0;
        r.lr = static_cast<T>(t.lr);
        r.mu = static_cast<T>(t.momentum);
        r.decay = static_cast<T>(decay);
        r.shrink = static_cast<T>(t.decoupled ? 1 - t.lr * decay : 1.0);
        if (r.optimizer == ADAM) {
            const double correction1 = 1 - std::pow(t.beta1, static_cast<double>(taken));
            const double correction2 = 1 - std::pow(t.beta2, static_cast<double>(taken));
            r.lerp1 = static_cast<T>(1 - t.beta1);
            r.rest1 = static_cast<T>(1) - r.lerp1;
            r.late = !(r.lerp1 < static_cast<T>(0.5));
            r.beta2 = static_cast<T>(t.beta2);
            r.rest2 = static_cast<T>(1 - t.beta2);
            r.scale_second = static_cast<T>(1 / std::sqrt(correction2));
            r.eps = static_cast<T>(t.eps);
            r.step = static_cast<T>(t.lr / correction1);
        }
        return r;
    }

    void step(long replicate, long s) {
        const int64_t* chosen = t.indices + (replicate * t.steps + s) * batch;
        const T* x = static_cast<const T*>(t.train_x);
        for (long b = 0; b < batch; b++) inputs[0][b] = x + chosen[b] * t.sizes[0];

        const bool keep = s + 1 == t.steps;
        long dead = 0;
        for (long l = 0; l < linears; l++) dead += forward(l, keep);
        t.asleep[replicate * t.steps + s] = static_cast<double>(dead) / static_cast<double>(units);
        static_cast<T*>(t.losses)[replicate * t.steps + s] = t.loss == CROSS_ENTROPY ? cross_entropy(chosen) : squared(chosen);

        const Rule<T> weights = rule(t.decay_weights, t.taken + s + 1), biases = rule(t.decay_biases, t.taken + s + 1);
        for (long l = linears - 1; l >= 0; l--) {
            if (l) back(l);
            descend(l, weights, biases, keep);
        }
    }

    // A leaky slope below zero turns the sign of an activation: the pre-activation itself is then needed on the way back.
    bool sign_turns() const { return t.leaky && !(t.slope >= 0); }

    // Activations of one layer, or the output; returns how many of its hidden units are off on the whole batch.
    long forward(long l, bool keep) {
        const Parameter<T>&weight = parameters[2 * l], &bias = parameters[2 * l + 1];
        const bool hidden = l + 1 < linears;
        if (hidden) std::memset(asleep[l].get(), 0xff, weight.stride * sizeof(T));
        const Product<T> p{inputs[l].data(), weight.rows, weight.value.get(), weight.stride, post[l].get(), weight.stride, bias.value.get(),
                           hidden ? HIDDEN : PLAIN, t.leaky != 0, static_cast<T>(t.slope), keep || sign_turns() ? pre[l].get() : nullptr,
                           nullptr, asleep[l].get()};
        tiled<T>(p, batch, weight.columns, weight.rows);
        if (!hidden) return 0;
        long dead = 0;
        for (long j = 0; j < weight.columns; j++) dead -= asleep[l].get()[j];
        return dead;
    }

    // The gradient of the pre-activations below layer l, by the weights before their update.
    void back(long l) {
        const Parameter<T>& weight = parameters[2 * l];
        const long ld = stride_of<T>(weight.rows);
        transpose<T>(weight.value.get(), weight.stride, weight.rows, weight.columns, transposed->get(), ld);
        const Product<T> p{deltas[l].data(), weight.columns, transposed->get(), ld, delta[l - 1].get(), ld, nullptr,
                           BACK, t.leaky != 0, static_cast<T>(t.slope), nullptr, (sign_turns() ? pre : post)[l - 1].get(), nullptr};
        tiled<T>(p, batch, weight.rows, weight.columns);
    }

    void descend(long l, const Rule<T>& weights, const Rule<T>& biases, bool keep) {
        const Parameter<T>&weight = parameters[2 * l], &bias = parameters[2 * l + 1];
        const T* d = delta[l].get();
        const long ld = weight.stride, whole = up(weight.columns, n);
        for (long j = 0; j < whole; j += n) {
            V<T> part[4] = {};  // four chains over the batch, for speed
            long b = 0;
            for (; b + 4 <= batch; b += 4) UNROLL for (int i = 0; i < 4; i++) part[i] += load(d + (b + i) * ld + j);
            for (; b < batch; b++) part[0] += load(d + b * ld + j);
            store(row_sum->get() + j, (part[0] + part[1]) + (part[2] + part[3]));
        }
        update_row<T>(biases, bias, 0, 0, row_sum->get(), whole, keep);
        const Descent<T> p{inputs[l].data(), batch, d, ld, &weight, &weights, keep};
        tiled<T>(p, weight.rows, weight.columns, batch);
    }

    // Mean loss over the batch; leaves its gradient by the output in the last delta.
    T cross_entropy(const int64_t* chosen) {
        const long outputs = t.sizes[linears], ld = stride_of<T>(outputs);
        const int64_t* labels = static_cast<const int64_t*>(t.train_y);
        const T share = static_cast<T>(1.0 / static_cast<double>(batch));
        const T* z = post[linears - 1].get();
        T* d = delta[linears - 1].get();
        const T *sum = sums->get(), *top = tops->get();
        for (long b = 0; b < batch; b += n) softmax(z + b * ld, d + b * ld, ld, outputs, share, sums->get() + b, tops->get() + b);
        // log of a product in place of a sum of logs: a sum is at most `outputs`, so sixteen of them cannot overflow
        double total = 0;
        for (long first = 0; first < batch; first += 16) {
            double product = 1, right = 0;
            for (long b = first; b < std::min(first + 16, batch); b++) {
                const long at = b * ld + labels[chosen[b]];
                product *= static_cast<double>(sum[b]);
                right += static_cast<double>(z[at] - top[b]);
                d[at] -= share;
            }
            total += std::log(product) - right;
        }
        return static_cast<T>(total / static_cast<double>(batch));
    }

    // Softmax of n examples at once, their classes one below the other so that maxima and sums need no shuffling; leaves
    // `share` times the probabilities in d, and each example's sum of exponentials and maximum.
    NOINLINE void softmax(const T* z, T* d, long ld, long outputs, T share, T* sum, T* top) const {
        T* by_class = turned->get();  // [class][example]
        transpose<T>(z, ld, n, outputs, by_class, n);
        V<T> most = load(by_class);
        for (long j = 1; j < outputs; j++) {
            const V<T> x = load(by_class + j * n);
            most = x > most ? x : most;
        }
        V<T> whole{};
        for (long j = 0; j < outputs; j++) {
            const V<T> e = exponential<T>(load(by_class + j * n) - most);
            store(by_class + j * n, e);
            whole += e;
        }
        const V<T> factor = share / whole;
        for (long j = 0; j < outputs; j++) store(by_class + j * n, load(by_class + j * n) * factor);
        for (long j = outputs; j < up(outputs, n); j++) store(by_class + j * n, V<T>{});
        transpose<T>(by_class, n, outputs, n, d, ld);
        store(sum, whole);
        store(top, most);
    }

    T squared(const int64_t* chosen) {
        const long outputs = t.sizes[linears], ld = stride_of<T>(outputs);
        const T* z = post[linears - 1].get();
        T* d = delta[linears - 1].get();
        const T share = static_cast<T>(2.0 / (static_cast<double>(batch) * static_cast<double>(outputs)));
        double total = 0;
        for (long b = 0; b < batch; b++, z += ld, d += ld) {
            if (t.loss == SQUARED_LABELS) {
                std::memcpy(d, z, outputs * sizeof(T));
                d[static_cast<const int64_t*>(t.train_y)[chosen[b]]] -= 1;
            } else {
                const T* target = static_cast<const T*>(t.train_y) + chosen[b] * outputs;
                for (long j = 0; j < outputs; j++) d[j] = z[j] - target[j];
            }
            T sum = 0;
            for (long j = 0; j < outputs; j++) {
                sum += d[j] * d[j];
                d[j] *= share;
            }
            total += static_cast<double>(sum);
        }
        return static_cast<T>(total / (static_cast<double>(batch) * static_cast<double>(outputs)));
    }
};

// 1: an index outside the examples, 2: a label outside the outputs. Looked for before anything is written.
int wrong_index(const Task& task) {
    const uint64_t examples = task.examples, outputs = task.sizes[task.linears];
    const long count = task.replicates * task.steps * task.batch;
    for (long i = 0; i < count; i++)
        if (static_cast<uint64_t>(task.indices[i]) >= examples) return 1;
    if (task.loss == SQUARED_TARGETS) return 0;
    const int64_t* labels = static_cast<const int64_t*>(task.train_y);
    for (long i = 0; i < count; i++)
        if (static_cast<uint64_t>(labels[task.indices[i]]) >= outputs) return 2;
    return 0;
}

template <class T>
int run(const Task& task) {
    if (const int wrong = wrong_index(task)) return wrong;
    try {
        Network<T> network(task);
        for (long r = 0; r < task.replicates; r++) network.run(r);
    } catch (const std::bad_alloc&) {
        return 3;
    }
    return 0;
}

template <class T>
void exponentials(const T* x, T* y, int64_t count) {
    alignas(VECTOR_BYTES) T lanes[Vector<T>::lanes] = {};
    for (int64_t i = 0; i < count; i += Vector<T>::lanes) {
        const std::size_t bytes = std::min<int64_t>(Vector<T>::lanes, count - i) * sizeof(T);
        std::memcpy(lanes, x + i, bytes);
        store<T>(lanes, exponential<T>(load<T>(lanes)));
        std::memcpy(y + i, lanes, bytes);
    }
}

}  // namespace

extern "C" {
int run_float32(const Task* task) { return run<float>(*task); }
int run_float64(const Task* task) { return run<double>(*task); }
void exp_float32(const float* x, float* y, int64_t count) { exponentials(x, y, count); }
void exp_float64(const double* x, double* y, int64_t count) { exponentials(x, y, count); }
int vector_bytes() { return VECTOR_BYTES; }
}
