// Training steps of stacked multilayer perceptrons on one CPU thread. Knows pointers and sizes, no Python and no torch.
//
// One replicate after the other runs all its steps, so that its weights stay in the cache. Every working matrix is kept
// in scratch memory whose rows are padded to whole vectors; the padding never reaches a result.
//
// Rounding. Every element of a product is one chain of multiply-adds over the reduced index in ascending order, whatever
// the tile it falls into, whether the chain is kept in registers or set down in memory between two blocks. So the bits
// of a replicate depend on its own numbers alone: not on other replicates, on where memory lies, or on how many steps
// one call takes. Formulas that exist twice (in registers, and in update_row) have one product per sum, so that a
// compiler has only one way to contract them, or round one of two products by itself.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <numeric>
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

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define NOINLINE __attribute__((noinline))

namespace {

constexpr long LINE = 64;          // bytes of a cache line
constexpr long PIECE = 128;        // examples of a whole set that are looked at together
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

// A product that must be rounded by itself: keeps a compiler from choosing which of two products of a sum it contracts.
template <class Value>
inline Value rounded(Value value) {
#if defined(__x86_64__)
    asm("" : "+x"(value));
#elif defined(__aarch64__)
    asm("" : "+w"(value));
#else
    asm("" : "+m"(value));
#endif
    return value;
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
            if (rule.shrink != 1) w = rounded(w * rule.shrink);
            store(value + i, w - g * rule.lr);
        } else {
            V<T> m = load(first + i);
            m = rule.late ? g - (g - m) * rule.rest1 : m + (g - m) * rule.lerp1;
            const V<T> s = rounded(load(second + i) * rule.beta2) + g * g * rule.rest2;
            store(first + i, m);
            store(second + i, s);
            const V<T> below = square_root<T>(s) * rule.scale_second + rule.eps;
            if (rule.shrink != 1) w = rounded(w * rule.shrink);
            store(value + i, w - m / below * rule.step);
        }
    }
}

// --------------------------------------------------------------------------------------------------------- differences

// How many of n elements differ, and the sum of their squared differences, in double; many chains, for speed.
template <class T, bool against>
void difference(const T* now, const T* then, long n, double* changed, double* squared) {
    constexpr long chains = 32;
    double count[chains] = {}, sum[chains] = {};
    for (long from = 0; from < n; from += chains) {
        const long left = std::min(chains, n - from);
        const auto take = [&](long i) {
            const double a = static_cast<double>(now[from + i]), b = against ? static_cast<double>(then[from + i]) : 0.0;
            const double apart = a - b;
            count[i] += a != b ? 1.0 : 0.0;
            sum[i] += apart * apart;
        };
        if (left == chains)
            for (long i = 0; i < chains; i++) take(i);
        else
            for (long i = 0; i < left; i++) take(i);
    }
    for (long half = chains / 2; half; half /= 2)
        for (long i = 0; i < half; i++) count[i] += count[i + half], sum[i] += sum[i + half];
    *changed = count[0], *squared = sum[0];
}

// found[parameter][0: count, 1: squared][replicate]
template <class T>
void differences(const void* const* now, const void* const* then, const int64_t* sizes, int64_t parameters, int64_t replicates,
                 double* found) {
    for (int64_t p = 0; p < parameters; p++, found += 2 * replicates)
        for (int64_t r = 0; r < replicates; r++) {
            const T* here = static_cast<const T*>(now[p]) + r * sizes[p];
            if (then)
                difference<T, true>(here, static_cast<const T*>(then[p]) + r * sizes[p], sizes[p], found + r, found + replicates + r);
            else
                difference<T, false>(here, nullptr, sizes[p], found + r, found + replicates + r);
        }
}

// ----------------------------------------------------------------------------------------------------------- products

enum Finish { PLAIN, HIDDEN, BACK };

// C = start + A · B, and what becomes of a finished tile. A's rows (where `turned`, its columns) are given by
// pointers, so a batch is never gathered.
template <class T, bool turned>
struct Product {
    const T* const* rows;
    long depth;
    const T* b;
    long ldb;
    T* c;
    long ldc;
    const T* start;  // what every sum begins with, or null for zero
    bool by_row;     // start has one element per row of C, not per column
    Finish finish;   // HIDDEN: C becomes the activation; BACK: C becomes the gradient of the pre-activation
    bool leaky;
    T slope;
    T* pre;          // HIDDEN: where to leave the pre-activation, or null
    const T* sign;   // BACK: what is above zero where the pre-activation is
    Int<T>* asleep;  // HIDDEN: per column all ones as long as no pre-activation was above zero
    T* top;          // HIDDEN: per column the largest pre-activation so far, or null
    T* total;        // HIDDEN, with top: per column the sum of |activation| so far
};

// sum += A · B over the reduced indices from … to - 1, one multiply-add per element and index, in their order.
template <class T, bool turned, int MR, int NR>
inline __attribute__((always_inline)) void accumulate(V<T> (&sum)[MR][NR], const T* const* rows, long row, const T* b, long ldb,
                                                      long from, long to) {
    const T* a[MR];
    if (!turned) {
        UNROLL for (int i = 0; i < MR; i++) a[i] = rows[row + i];
    }
    b += from * ldb;
    for (long k = from; k < to; k++, b += ldb) {
        const T* below = turned ? rows[k] + row : nullptr;
        if (turned) __builtin_prefetch(below + LINE / sizeof(T));  // for the next tile: rows of a batch lie far apart
        V<T> across[NR];
        UNROLL for (int j = 0; j < NR; j++) across[j] = load(b + j * Vector<T>::lanes);
        UNROLL for (int i = 0; i < MR; i++) {
            const T down = turned ? below[i] : a[i][k];
            UNROLL for (int j = 0; j < NR; j++) sum[i][j] += across[j] * down;
        }
    }
}

template <class T, bool turned, int MR, int NR>
NOINLINE void product_tile(const Product<T, turned>& p, long row, long column, long from, long to) {
    constexpr long n = Vector<T>::lanes;
    V<T> sum[MR][NR];
    T* c = p.c + row * p.ldc + column;
    if (from) {
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++) sum[i][j] = load(c + i * p.ldc + j * n);
    } else {
        UNROLL for (int j = 0; j < NR; j++) {
            const V<T> start = p.start && !p.by_row ? load(p.start + column + j * n) : V<T>{};
            UNROLL for (int i = 0; i < MR; i++) sum[i][j] = p.by_row ? splat(p.start[row + i]) : start;
        }
    }
    accumulate<T, turned, MR, NR>(sum, p.rows, row, p.b + column, p.ldb, from, to);
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
        if (p.top) {
            UNROLL for (int j = 0; j < NR; j++) {
                V<T> top = load(p.top + column + j * n), total = load(p.total + column + j * n);
                UNROLL for (int i = 0; i < MR; i++) {
                    const V<T> x = sum[i][j];
                    top = x > top ? x : top;
                    const V<T> post = p.leaky ? (x > zero ? x : x * p.slope) : (x <= zero ? zero : x);
                    total += post < zero ? -post : post;
                }
                store(p.top + column + j * n, top);
                store(p.total + column + j * n, total);
            }
        }
    } else {
        const T* sign = p.sign + row * p.ldc + column;
        UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++) {
            const V<T> x = load(sign + i * p.ldc + j * n), g = sum[i][j];
            store(c + i * p.ldc + j * n, p.leaky ? (x > zero ? g : g * p.slope) : (x <= zero ? zero : g));
        }
    }
}

// The gradient of a weight, A · B summed over the batch, and its update, tile by tile; A's rows as in Product.
template <class T, bool turned>
struct Descent {
    const T* const* rows;
    long batch;
    const T* b;
    long ldb;
    const Parameter<T>* weight;
    const Rule<T>* rule;
    bool keep;  // the gradient, for the caller
};

template <class T, bool turned, int MR, int NR>
NOINLINE void descent_tile(const Descent<T, turned>& p, long row, long column, long from, long to) {
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
    accumulate<T, turned, MR, NR>(sum, p.rows, row, p.b + column, p.ldb, from, to);
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
        if (rule.l2) {
            UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NR; j++)
                sum[i][j] = load(value + i * ld + j * n) * rule.decay + sum[i][j];
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

// The compiled tiles of one kind, by rows and vectors.
template <class T, class P>
struct Tiles;
template <class T, bool turned>
struct Tiles<T, Product<T, turned>> {
    static constexpr long vectors = turned ? std::min(TILE_VECTORS, 2) : TILE_VECTORS;  // turned: the output layer, seldom wide
    template <std::size_t... I>
    static constexpr std::array<Tile<Product<T, turned>>, sizeof...(I)> table(std::index_sequence<I...>) {
        return {product_tile<T, turned, I / vectors + 1, I % vectors + 1>...};
    }
};
template <class T, bool turned>
struct Tiles<T, Descent<T, turned>> {
    static constexpr long vectors = turned ? TILE_VECTORS : std::min(TILE_VECTORS, 2);  // not turned: the output layer
    template <std::size_t... I>
    static constexpr std::array<Tile<Descent<T, turned>>, sizeof...(I)> table(std::index_sequence<I...>) {
        return {descent_tile<T, turned, I / vectors + 1, I % vectors + 1>...};
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
    constexpr long most = Tiles<T, P>::vectors;
    static constexpr auto tiles = Tiles<T, P>::table(std::make_index_sequence<TILE_ROWS * most>{});
    const Cut down(rows, TILE_ROWS), across(up(columns, n) / n, most), deep(depth, DEPTH_BLOCK);
    for (long block = 0, from = 0; block < deep.pieces; from += deep[block++])
        for (long panel = 0, column = 0; panel < across.pieces; column += across[panel++] * n)
            for (long tile = 0, row = 0; tile < down.pieces; row += down[tile++])
                tiles[(down[tile] - 1) * most + across[panel] - 1](p, row, column, from, from + deep[block]);
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
    double* tally;   // [parameter, 3, replicate]: of the last gradient how many elements are not zero, and their squares; the peak
    // Parameters are weight and bias of every linear map in turn, [replicate, ...] each. The tables follow each other:
    // values, gradients, the optimizer's memories, one after the other; then the pre-activations per hidden layer.
    void* const* tensors;
};

// Where a look at a whole set leaves what it saw: per hidden layer [replicate, unit] the largest pre-activation and the mean
// |activation|; per replicate the mean loss, the share classified right, the largest spread of any output.
struct View {
    void* const* top;
    void* const* mean;
    double* losses;
    double* accuracies;
    double* ranges;
};
}

namespace {

enum Loss { CROSS_ENTROPY = 0, SQUARED_LABELS = 1, SQUARED_TARGETS = 2 };

// What a whole set of examples shows of one replicate.
template <class T>
struct Sight {
    std::vector<Buffer<T>> top, total;     // per hidden layer and unit: largest pre-activation; sum of |activation| of one piece
    std::vector<std::vector<double>> sum;  // the latter over all pieces
    std::vector<T> least, most;            // per output unit
    double loss = 0, right = 0;

    explicit Sight(const Task& t) : least(t.sizes[t.linears]), most(t.sizes[t.linears]) {
        for (long l = 0; l + 1 < t.linears; l++) {
            top.emplace_back(stride_of<T>(t.sizes[l + 1]));
            total.emplace_back(stride_of<T>(t.sizes[l + 1]));
            sum.emplace_back(t.sizes[l + 1]);
        }
    }
    void clear(const Task& t) {
        constexpr T infinity = std::numeric_limits<T>::infinity();
        for (long l = 0; l + 1 < t.linears; l++) {
            std::fill_n(top[l].get(), stride_of<T>(t.sizes[l + 1]), -infinity);
            std::fill(sum[l].begin(), sum[l].end(), 0.0);
        }
        std::fill(least.begin(), least.end(), infinity);
        std::fill(most.begin(), most.end(), -infinity);
        loss = right = 0;
    }
};

template <class T>
class Network {
   public:
    explicit Network(const Task& task)
        : t(task), linears(task.linears), batch(task.batch), outputs(task.sizes[linears]), across(stride_of<T>(batch)), memories(t.optimizer == ADAM ? 2 : t.momentum != 0) {
        const long rows = up(batch, n);  // transposing works on squares of vectors
        long widest = 0;
        for (long l = 0; l < linears; l++) {
            const long in = t.sizes[l], out = t.sizes[l + 1];
            const bool last = l + 1 == linears;
            parameters.emplace_back(last ? out : in, last ? in : out, memories);
            parameters.emplace_back(1, out, memories);
            inputs.emplace_back(batch);
            if (l)
                for (long b = 0; b < batch; b++) inputs[l][b] = post[l - 1].get() + b * stride_of<T>(in);
            if (last) break;
            pre.emplace_back(rows * stride_of<T>(out));
            post.emplace_back(rows * stride_of<T>(out));
            delta.emplace_back(rows * stride_of<T>(out));
            asleep.emplace_back(stride_of<T>(out));
            deltas.emplace_back(batch);
            for (long b = 0; b < batch; b++) deltas[l][b] = delta[l].get() + b * stride_of<T>(out);
            if (l) widest = std::max(widest, stride_of<T>(in) * up(out, n));
            units += out;
        }
        const long width = t.sizes[linears - 1];
        output.emplace_back(outputs * across);
        delta.emplace_back(outputs * across);
        deltas.emplace_back(outputs);
        for (long j = 0; j < outputs; j++) {
            deltas.back()[j] = delta.back().get() + j * across;
            output_rows.push_back(parameters[2 * linears - 2].value.get() + j * stride_of<T>(width));
        }
        scratch.emplace_back(std::max(widest, up(width, n) * across));
        scratch.emplace_back(stride_of<T>(*std::max_element(t.sizes, t.sizes + linears + 1)));
        scratch.emplace_back(rows);
        scratch.emplace_back(rows);
    }

    void run(long replicate) {
        move<true>(replicate);
        for (auto& p : parameters) p.peak.clear();
        for (long s = 0; s < t.steps; s++) step(replicate, s);
        move<false>(replicate);
    }

    // Examples first … first + batch - 1 in order, without a step: adds to what the replicate has shown so far.
    void look(long first, const int64_t* in_order, Sight<T>& sight) {
        for (long b = 0; b < batch; b++) inputs[0][b] = static_cast<const T*>(t.train_x) + (first + b) * t.sizes[0];
        for (long l = 0; l + 1 < linears; l++) {
            std::memset(sight.total[l].get(), 0, parameters[2 * l].stride * sizeof(T));
            forward(l, false, sight.top[l].get(), sight.total[l].get());
            for (long j = 0; j < t.sizes[l + 1]; j++) sight.sum[l][j] += static_cast<double>(sight.total[l].get()[j]);
        }
        forward_output();
        const T mean = t.loss == CROSS_ENTROPY ? cross_entropy(in_order + first) : squared(in_order + first);
        sight.loss += static_cast<double>(mean) * static_cast<double>(batch);
        const int64_t* labels = t.loss == SQUARED_TARGETS ? nullptr : static_cast<const int64_t*>(t.train_y) + first;
        for (long b = 0; b < batch; b++) {
            const T* z = output[0].get() + b;
            long best = 0;
            for (long j = 0; j < outputs; j++) {
                const T value = z[j * across];
                if (value > z[best * across]) best = j;
                sight.least[j] = std::min(sight.least[j], value);
                sight.most[j] = std::max(sight.most[j], value);
            }
            if (labels) sight.right += labels[b] == best;
        }
    }

    void take(long replicate) { move<true>(replicate); }

   private:
    static constexpr long n = Vector<T>::lanes;
    const Task& t;
    const long linears, batch, outputs, across, memories;
    long units = 0;
    // The output layer stands on its side: its weight is [output, unit] here, its result and the gradient of it are
    // [output, example] with rows of `across` elements. Outputs are few; this way vectors are full of examples, and
    // softmax needs no shuffling. Everything else is [unit in, unit out] and [example, unit].
    std::vector<Parameter<T>> parameters;
    std::vector<Buffer<T>> pre, post, delta, output;
    std::vector<Buffer<Int<T>>> asleep;
    std::vector<std::vector<const T*>> inputs, deltas;
    std::vector<const T*> output_rows;
    std::vector<Buffer<T>> scratch;  // a transposed matrix; a bias gradient; per example a sum and a maximum

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
                if (i + 2 == parameters.size())  // the output weight
                    for (long r = 0; r < p.rows; r++)
                        for (long c = 0; c < p.columns; c++) {
                            T &outside = dense[c * p.rows + r], &element = inside.get()[r * p.stride + c];
                            (in ? element : outside) = in ? outside : element;
                        }
                else if (in)
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
            T peak;
            std::memcpy(&peak, &top, sizeof(T));
            static_cast<T*>(t.peaks)[i * t.replicates + replicate] = peak;
            const T* gradient = static_cast<const T*>(t.tensors[parameters.size() + i]) + replicate * size;
            double* tally = t.tally + 3 * i * t.replicates + replicate;
            difference<T, false>(gradient, nullptr, size, tally, tally + t.replicates);
            tally[2 * t.replicates] = static_cast<double>(peak);
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
        r.in_registers = r.optimizer == SGD && !r.nesterov && (decay == 0 || r.l2);
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
        for (long l = 0; l + 1 < linears; l++) dead += forward(l, keep);
        t.asleep[replicate * t.steps + s] = static_cast<double>(dead) / static_cast<double>(units);
        forward_output();
        static_cast<T*>(t.losses)[replicate * t.steps + s] = t.loss == CROSS_ENTROPY ? cross_entropy(chosen) : squared(chosen);

        const Rule<T> weights = rule(t.decay_weights, t.taken + s + 1), biases = rule(t.decay_biases, t.taken + s + 1);
        back_output();
        descend_output(weights, biases, keep);
        for (long l = linears - 2; l >= 0; l--) {
            if (l) back(l);
            descend(l, weights, biases, keep);
        }
    }

    // A leaky slope below zero turns the sign of an activation: the pre-activation itself is then needed on the way back.
    bool sign_turns() const { return t.leaky && !(t.slope >= 0); }

    const T* sign(long l) const { return (sign_turns() ? pre : post)[l].get(); }

    // Activations of one hidden layer; returns how many of its units are off on the whole batch.
    long forward(long l, bool keep, T* top = nullptr, T* total = nullptr) {
        const Parameter<T>&weight = parameters[2 * l], &bias = parameters[2 * l + 1];
        std::memset(asleep[l].get(), 0xff, weight.stride * sizeof(T));
        Product<T, false> p{};
        p.rows = inputs[l].data(), p.depth = weight.rows;
        p.b = weight.value.get(), p.ldb = weight.stride;
        p.c = post[l].get(), p.ldc = weight.stride;
        p.start = bias.value.get();
        p.finish = HIDDEN, p.leaky = t.leaky != 0, p.slope = static_cast<T>(t.slope);
        p.pre = keep || sign_turns() ? pre[l].get() : nullptr;
        p.asleep = asleep[l].get(), p.top = top, p.total = total;
        tiled<T>(p, batch, weight.columns, weight.rows);
        long dead = 0;
        for (long j = 0; j < weight.columns; j++) dead -= asleep[l].get()[j];
        return dead;
    }

    void forward_output() {
        const Parameter<T>&weight = parameters[2 * linears - 2], &bias = parameters[2 * linears - 1];
        transpose<T>(post.back().get(), weight.stride, batch, weight.columns, scratch[0].get(), across);
        Product<T, false> p{};
        p.rows = output_rows.data(), p.depth = weight.columns;
        p.b = scratch[0].get(), p.ldb = across;
        p.c = output[0].get(), p.ldc = across;
        p.start = bias.value.get(), p.by_row = true;
        p.finish = PLAIN;
        tiled<T>(p, outputs, batch, weight.columns);
    }

    // The gradient of the pre-activations below a layer, by the weights before their update.
    void back(long l) {
        const Parameter<T>& weight = parameters[2 * l];
        const long ld = stride_of<T>(weight.rows);
        transpose<T>(weight.value.get(), weight.stride, weight.rows, weight.columns, scratch[0].get(), ld);
        Product<T, false> p{};
        p.rows = deltas[l].data(), p.depth = weight.columns;
        p.b = scratch[0].get(), p.ldb = ld;
        p.c = delta[l - 1].get(), p.ldc = ld;
        p.finish = BACK, p.leaky = t.leaky != 0, p.slope = static_cast<T>(t.slope), p.sign = sign(l - 1);
        tiled<T>(p, batch, weight.rows, weight.columns);
    }

    void back_output() {
        const Parameter<T>& weight = parameters[2 * linears - 2];
        Product<T, true> p{};
        p.rows = deltas.back().data(), p.depth = outputs;
        p.b = weight.value.get(), p.ldb = weight.stride;
        p.c = delta[linears - 2].get(), p.ldc = weight.stride;
        p.finish = BACK, p.leaky = t.leaky != 0, p.slope = static_cast<T>(t.slope), p.sign = sign(linears - 2);
        tiled<T>(p, batch, weight.columns, outputs);
    }

    void descend(long l, const Rule<T>& weights, const Rule<T>& biases, bool keep) {
        const Parameter<T>&weight = parameters[2 * l], &bias = parameters[2 * l + 1];
        const T* d = delta[l].get();
        const long ld = weight.stride, whole = up(weight.columns, n);
        T* total = scratch[1].get();
        for (long j = 0; j < whole; j += n) {
            V<T> part[4] = {};  // four chains over the batch, for speed
            long b = 0;
            for (; b + 4 <= batch; b += 4) UNROLL for (int i = 0; i < 4; i++) part[i] += load(d + (b + i) * ld + j);
            for (; b < batch; b++) part[0] += load(d + b * ld + j);
            store(total + j, (part[0] + part[1]) + (part[2] + part[3]));
        }
        update_row<T>(biases, bias, 0, 0, total, whole, keep);
        tiled<T>(Descent<T, true>{inputs[l].data(), batch, d, ld, &weight, &weights, keep}, weight.rows, weight.columns, batch);
    }

    void descend_output(const Rule<T>& weights, const Rule<T>& biases, bool keep) {
        const Parameter<T>&weight = parameters[2 * linears - 2], &bias = parameters[2 * linears - 1];
        T* total = scratch[1].get();
        for (long j = 0; j < outputs; j++) {
            V<T> lanes{};
            for (long b = 0; b < batch; b += n) lanes += load(deltas.back()[j] + b);
            alignas(LINE) T part[n];
            store(part, lanes);
            UNROLL for (long half = n / 2; half; half /= 2)
                UNROLL for (long i = 0; i < half; i++) part[i] += part[i + half];
            total[j] = part[0];
        }
        update_row<T>(biases, bias, 0, 0, total, up(outputs, n), keep);
        const Descent<T, false> p{deltas.back().data(), batch, post.back().get(), weight.stride, &weight, &weights, keep};
        tiled<T>(p, weight.rows, weight.columns, batch);
    }

    // Mean loss over the batch; leaves its gradient by the output in the last delta.
    T cross_entropy(const int64_t* chosen) {
        const int64_t* labels = static_cast<const int64_t*>(t.train_y);
        const T share = static_cast<T>(1.0 / static_cast<double>(batch));
        const T* z = output[0].get();
        T *d = delta.back().get(), *sums = scratch[2].get(), *tops = scratch[3].get();
        for (long b = 0; b < batch; b += n) softmax(z + b, d + b, share, sums + b, tops + b);
        // log of a product in place of a sum of logs: a sum is at most `outputs`, so sixteen of them cannot overflow
        double total = 0;
        for (long first = 0; first < batch; first += 16) {
            double product = 1, right = 0;
            for (long b = first; b < std::min(first + 16, batch); b++) {
                const long at = labels[chosen[b]] * across + b;
                product *= static_cast<double>(sums[b]);
                right += static_cast<double>(z[at] - tops[b]);
                d[at] -= share;
            }
            total += std::log(product) - right;
        }
        clear_padding();
        return static_cast<T>(total / static_cast<double>(batch));
    }

    // `share` times the softmax of n examples; also each one's sum of exponentials and its maximum.
    NOINLINE void softmax(const T* z, T* d, T share, T* sum, T* top) const {
        V<T> most = load(z);
        for (long j = 1; j < outputs; j++) {
            const V<T> x = load(z + j * across);
            most = x > most ? x : most;
        }
        V<T> whole{};
        for (long j = 0; j < outputs; j++) {
            const V<T> e = exponential<T>(load(z + j * across) - most);
            store(d + j * across, e);
            whole += e;
        }
        const V<T> factor = share / whole;
        for (long j = 0; j < outputs; j++) store(d + j * across, load(d + j * across) * factor);
        store(sum, whole);
        store(top, most);
    }

    T squared(const int64_t* chosen) {
        const T* z = output[0].get();
        T* d = delta.back().get();
        if (t.loss == SQUARED_LABELS) {
            std::memcpy(d, z, outputs * across * sizeof(T));
            for (long b = 0; b < batch; b++) d[static_cast<const int64_t*>(t.train_y)[chosen[b]] * across + b] -= 1;
        } else {
            for (long b = 0; b < batch; b++) {
                const T* target = static_cast<const T*>(t.train_y) + chosen[b] * outputs;
                for (long j = 0; j < outputs; j++) d[j * across + b] = z[j * across + b] - target[j];
            }
        }
        clear_padding();
        const double count = static_cast<double>(batch) * static_cast<double>(outputs);
        const T share = static_cast<T>(2.0 / count);
        double total = 0;
        for (long b = 0; b < batch; b += n) {
            V<T> sum{};
            for (long j = 0; j < outputs; j++) {
                const V<T> error = load(d + j * across + b);
                sum += error * error;
                store(d + j * across + b, error * share);
            }
            for (long i = 0; i < n; i++) total += static_cast<double>(sum[i]);
        }
        return static_cast<T>(total / count);
    }

    // No example stands in the rest of the last vector of a row: nothing may be summed there.
    void clear_padding() {
        for (long j = 0; j < outputs; j++)
            for (long b = batch; b < up(batch, n); b++) delta.back().get()[j * across + b] = 0;
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

// Every example of the set through every replicate, in pieces that stay in the cache.
template <class T>
int look(const Task& task, const View& view) {
    const Cut pieces(task.examples, PIECE);
    std::vector<int64_t> in_order(task.examples);
    std::iota(in_order.begin(), in_order.end(), 0);
    if (task.loss != SQUARED_TARGETS) {
        const int64_t* labels = static_cast<const int64_t*>(task.train_y);
        for (long i = 0; i < task.examples; i++)
            if (static_cast<uint64_t>(labels[i]) >= static_cast<uint64_t>(task.sizes[task.linears])) return 2;
    }
    try {
        Task longer = task, shorter = task;  // two lengths of piece, which differ by one
        longer.batch = pieces.size + 1, shorter.batch = pieces.size;
        Network<T> first(longer), rest(shorter);
        Sight<T> sight(task);
        const double examples = static_cast<double>(task.examples);
        for (long r = 0; r < task.replicates; r++) {
            sight.clear(task);
            if (pieces.longer) first.take(r);
            rest.take(r);
            for (long piece = 0, from = 0; piece < pieces.pieces; from += pieces[piece++])
                (piece < pieces.longer ? first : rest).look(from, in_order.data(), sight);
            for (long l = 0; l + 1 < task.linears; l++) {
                const long width = task.sizes[l + 1];
                std::memcpy(static_cast<T*>(view.top[l]) + r * width, sight.top[l].get(), width * sizeof(T));
                for (long j = 0; j < width; j++)
                    static_cast<T*>(view.mean[l])[r * width + j] = static_cast<T>(sight.sum[l][j] / examples);
            }
            T range = 0;
            for (std::size_t j = 0; j < sight.least.size(); j++) range = std::max(range, sight.most[j] - sight.least[j]);
            view.losses[r] = sight.loss / examples;
            view.accuracies[r] = sight.right / examples;
            view.ranges[r] = static_cast<double>(range);
        }
    } catch (const std::bad_alloc&) {
        return 3;
    }
    return 0;
}

// -------------------------------------------------------------------------------------------------------------- orders

// Philox4x64-10 (Salmon et al. 2011) as NumPy runs it: the counter is raised before each block, and a 64-bit number serves
// two 32-bit ones, its low half first.
class Philox {
   public:
    Philox(uint64_t low, uint64_t high) : key{low, high} {}

    uint32_t next() {
        if (!(taken_++ & 1)) {
            if (at == 4) block();
            held = numbers[at++];
            return static_cast<uint32_t>(held);
        }
        return static_cast<uint32_t>(held >> 32);
    }

   private:
    uint64_t key[2], counter = 0, numbers[4], held = 0;
    int at = 4;
    unsigned taken_ = 0;

    void block() {
        uint64_t c[4] = {++counter, 0, 0, 0}, k[2] = {key[0], key[1]};
        for (int round = 0; round < 10; round++) {
            const unsigned __int128 a = static_cast<unsigned __int128>(0xD2E7470EE14C6C93ull) * c[0];
            const unsigned __int128 b = static_cast<unsigned __int128>(0xCA5A826395121157ull) * c[2];
            const uint64_t next[4] = {static_cast<uint64_t>(b >> 64) ^ c[1] ^ k[0], static_cast<uint64_t>(b),
                                      static_cast<uint64_t>(a >> 64) ^ c[3] ^ k[1], static_cast<uint64_t>(a)};
            std::copy(next, next + 4, c);
            k[0] += 0x9E3779B97F4A7C15ull, k[1] += 0xBB67AE8584CAA73Bull;
        }
        std::copy(c, c + 4, numbers);
        at = 0;
    }
};

// The permutation of 0 … count - 1 that numpy.random.Generator(Philox(key)).permutation(count) draws.
void permutation(uint64_t low, uint64_t high, int64_t count, int64_t* order) {
    Philox stream(low, high);
    std::iota(order, order + count, 0);
    uint32_t mask = 0;
    while (mask < static_cast<uint64_t>(count - 1)) mask = mask << 1 | 1;
    for (int64_t i = count - 1; i > 0; i--) {
        while (mask >> 1 >= static_cast<uint64_t>(i)) mask >>= 1;
        uint32_t j;
        do j = stream.next() & mask;
        while (j > i);
        std::swap(order[i], order[j]);
    }
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
int look_float32(const Task* task, const View* view) { return look<float>(*task, *view); }
int look_float64(const Task* task, const View* view) { return look<double>(*task, *view); }
void exp_float32(const float* x, float* y, int64_t count) { exponentials(x, y, count); }
void exp_float64(const double* x, double* y, int64_t count) { exponentials(x, y, count); }
void permutations(const uint64_t* keys, int64_t streams, int64_t count, int64_t* orders) {
    for (int64_t s = 0; s < streams; s++) permutation(keys[2 * s], keys[2 * s + 1], count, orders + s * count);
}
void differences_float32(const void* const* now, const void* const* then, const int64_t* sizes, int64_t parameters, int64_t replicates,
                         double* found) {
    differences<float>(now, then, sizes, parameters, replicates, found);
}
void differences_float64(const void* const* now, const void* const* then, const int64_t* sizes, int64_t parameters, int64_t replicates,
                         double* found) {
    differences<double>(now, then, sizes, parameters, replicates, found);
}
int vector_bytes() { return VECTOR_BYTES; }
}
