// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "rmap/types/ids.hpp"

namespace mmusim::rmap {

inline constexpr CpuId kMaxCpus = 1024;

/// The kernel's cpumask: a set of CPUs, iterated in ascending order.
class CpuMask {
public:
    static constexpr unsigned kWords = kMaxCpus / 64;

    void set(CpuId cpu) { words_[cpu / 64] |= bit(cpu); }
    void clear(CpuId cpu) { words_[cpu / 64] &= ~bit(cpu); }
    bool test(CpuId cpu) const { return words_[cpu / 64] & bit(cpu); }
    bool empty() const { return count() == 0; }
    unsigned count() const {
        unsigned n = 0;
        for (const auto word : words_) n += static_cast<unsigned>(__builtin_popcountll(word));
        return n;
    }
    /// cpumask_any_but(mask, cpu) < nr_cpu_ids.
    bool any_but(CpuId cpu) const { return count() > (test(cpu) ? 1u : 0u); }

    std::uint64_t word(unsigned index) const { return words_[index]; }
    void set_word(unsigned index, std::uint64_t value) { words_[index] = value; }

    CpuMask& operator|=(const CpuMask& other) {
        for (unsigned i = 0; i < kWords; ++i) words_[i] |= other.words_[i];
        return *this;
    }
    friend bool operator==(const CpuMask& a, const CpuMask& b) { return a.words_ == b.words_; }

    /// Calls f(CpuId) for each member in ascending order.
    template <class F>
    void for_each(F&& f) const {
        for (unsigned i = 0; i < kWords; ++i)
            for (std::uint64_t rest = words_[i]; rest; rest &= rest - 1)
                f(static_cast<CpuId>(i * 64 + static_cast<unsigned>(__builtin_ctzll(rest))));
    }

private:
    static constexpr std::uint64_t bit(CpuId cpu) { return 1ull << (cpu % 64); }

    std::array<std::uint64_t, kWords> words_{};
};

}  // namespace mmusim::rmap
