// A plugin for qemu-aarch64: executed instructions by class, in all and between marks.
//
//   gcc -shared -fPIC -O2 count.c -o libcount.so
//   qemu-aarch64 -plugin ./libcount.so,counts=FILE[,marks=on][,blocks=FILE] ... PROGRAM
//
// counts: a line of totals when the program ends, by class in the order of `kNames`. marks=on: such a line before
// it at each call of clock_gettime, by which profilers surround what they time, headed by the number of the clock and
// the host's monotonic clock in nanoseconds. blocks: a line for each translated block that ran: address, executions,
// instructions by class, symbol.
//
// Debian packages no header of QEMU's plugin interface: what is used of version 1 is declared here.
// https://www.qemu.org/docs/master/devel/tcg-plugins.html

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef uint64_t Id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { kAdd = 0 };  // QEMU_PLUGIN_INLINE_ADD_U64
enum { kNoClock = 99 };

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(Id, void (*)(Id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_syscall_cb(Id, void (*)(Id, unsigned, int64_t, uint64_t, uint64_t, uint64_t,
                                                              uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));
extern void qemu_plugin_register_atexit_cb(Id, void (*)(Id, void *), void *);

int qemu_plugin_version = 1;

enum Class {
    kDot,         // sdot, udot, usdot, sudot: 4 products of 8 bits in each of 4 sums
    kI8mm,        // smmla, ummla, usmmla: 8 products in each of 4 sums
    kWidening,    // smull, smlal and the like, of 8 bits
    kFma,         // fmla, fmls, fmadd: a product and a sum of floats
    kSimd,        // all else that computes in vector registers, scalars in floating point included
    kVectorLoad,  // loads and stores of vector registers; ldp and ld1 of several count once
    kVectorStore,
    kLoad,  // of general registers
    kStore,
    kBranch,
    kInteger,  // the rest: arithmetic of general registers, addresses
    kClasses
};
static const char *const kNames[kClasses] = {"dot",         "i8mm",         "widening", "fma",   "simd",   "vector_load",
                                             "vector_store", "load",        "store",    "branch", "integer"};

static bool has(uint32_t word, uint32_t mask, uint32_t bits) { return (word & mask) == bits; }

static enum Class arithmetic(uint32_t w) {
    // Arm Architecture Reference Manual, C4.1, "Data processing: scalar floating point and Advanced SIMD"
    if (has(w, 0x9FE0FC00, 0x0E809400) || has(w, 0xBFE0FC00, 0x0E809C00)) return kDot;  // by vector
    if (has(w, 0x9FC0F400, 0x0F80E000) || has(w, 0xBF80F400, 0x0F00F000)) return kDot;  // by element
    if (has(w, 0xDFE0F400, 0x4E80A400)) return kI8mm;
    if (has(w, 0x9FE09C00, 0x0E208000)) return kWidening;  // smlal, smlsl, umlal, umlsl
    if (has(w, 0x9FE0FC00, 0x0E20C000)) return kWidening;  // smull, umull
    if (has(w, 0xBF20FC00, 0x0E20CC00)) return kFma;       // by vector, fmla and fmls
    if (has(w, 0x9F80B400, 0x0F801000)) return kFma;       // by element
    if (has(w, 0xFF000000, 0x1F000000)) return kFma;       // scalars
    return kSimd;
}

static bool loads_vector(uint32_t w) {
    if (has(w, 0x3B000000, 0x18000000)) return true;             // literal
    if (has(w, 0xBE000000, 0x0C000000)) return w >> 22 & 1;      // ld1 to ld4
    if (has(w, 0x3A000000, 0x28000000)) return w >> 22 & 1;      // pairs
    return w >> 22 & 1;                                          // single: the low bit of opc
}

static bool loads_general(uint32_t w) {
    if (has(w, 0x3B000000, 0x18000000)) return true;
    if (has(w, 0x3A000000, 0x38000000)) return w >> 22 & 3;  // opc 0 is a store
    return w >> 22 & 1;                                      // pairs and exclusive
}

static enum Class sve(uint32_t w) {
    if (w >> 31) return has(w, 0xE0004000, 0xE0004000) || has(w, 0xE0000000, 0xE0000000) ? kVectorStore : kVectorLoad;
    if (has(w, 0xFF20F800, 0x44000000)) return kDot;
    if (has(w, 0xFF20FC00, 0x45009800)) return kI8mm;
    if (has(w, 0xFF200000, 0x65200000)) return kFma;
    return kSimd;
}

static enum Class classify(uint32_t w) {
    const uint32_t group = w >> 25 & 15;  // C4.1, "A64 instruction set encoding"
    if (group == 2) return sve(w);
    if ((group & 7) == 7) return arithmetic(w);
    if ((group & 14) == 10) return kBranch;
    if ((group & 5) != 4) return kInteger;
    if (w >> 26 & 1) return loads_vector(w) ? kVectorLoad : kVectorStore;
    return loads_general(w) ? kLoad : kStore;
}

struct Block {
    uint64_t executions;
    uint64_t address;
    const char *symbol;
    struct Block *next;
    uint32_t of[kClasses];
};

static struct Block *blocks;
static FILE *counts_file, *blocks_file;

static void translated(Id id, struct qemu_plugin_tb *tb) {
    (void)id;
    struct Block *block = calloc(1, sizeof *block);
    block->address = qemu_plugin_tb_vaddr(tb);
    const size_t instructions = qemu_plugin_tb_n_insns(tb);
    for (size_t i = 0; i < instructions; ++i) {
        const struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        uint32_t word;
        memcpy(&word, qemu_plugin_insn_data(instruction), sizeof word);
        ++block->of[classify(word)];
        if (i == 0) block->symbol = qemu_plugin_insn_symbol(instruction);
    }
    block->next = __atomic_load_n(&blocks, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&blocks, &block->next, block, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
    qemu_plugin_register_vcpu_tb_exec_inline(tb, kAdd, &block->executions, 1);
}

/// A line of the counts so far. The host's clock is read last, as the guest reads its own next.
static void write_counts(uint64_t clock) {
    uint64_t sums[kClasses] = {0};
    const struct Block *first = __atomic_load_n(&blocks, __ATOMIC_ACQUIRE);
    for (const struct Block *block = first; block; block = block->next) {
        if (block->executions == 0) continue;
        for (int i = 0; i < kClasses; ++i) sums[i] += block->executions * block->of[i];
    }
    flockfile(counts_file);  // other threads read the clock as well
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    fprintf(counts_file, "%" PRIu64 " %" PRIu64, clock, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
    for (int i = 0; i < kClasses; ++i) fprintf(counts_file, " %" PRIu64, sums[i]);
    fputc('\n', counts_file);
    funlockfile(counts_file);
}

static void called(Id id, unsigned vcpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                   uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)vcpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    // 113 is clock_gettime, include/uapi/asm-generic/unistd.h of Linux
    if (number == 113) write_counts(a);
}

static void ended(Id id, void *nothing) {
    (void)id, (void)nothing;
    write_counts(kNoClock);
    fclose(counts_file);
    if (!blocks_file) return;
    for (const struct Block *block = blocks; block; block = block->next) {
        if (block->executions == 0) continue;
        fprintf(blocks_file, "%" PRIx64 " %" PRIu64, block->address, block->executions);
        for (int i = 0; i < kClasses; ++i) fprintf(blocks_file, " %u", block->of[i]);
        fprintf(blocks_file, " %s\n", block->symbol ? block->symbol : "-");
    }
    fclose(blocks_file);
}

int qemu_plugin_install(Id id, const void *info, int count, char **words) {
    (void)info;
    for (int i = 0; i < count; ++i) {
        if (strncmp(words[i], "counts=", 7) == 0) counts_file = fopen(words[i] + 7, "w");
        if (strncmp(words[i], "blocks=", 7) == 0) blocks_file = fopen(words[i] + 7, "w");
        if (strcmp(words[i], "marks=on") == 0) qemu_plugin_register_vcpu_syscall_cb(id, called);
    }
    if (!counts_file) return 1;
    fputs("clock nanoseconds", counts_file);
    for (int i = 0; i < kClasses; ++i) fprintf(counts_file, " %s", kNames[i]);
    fputc('\n', counts_file);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
