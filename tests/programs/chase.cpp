// SPDX-License-Identifier: Apache-2.0
// A pointer chase: usage: chase PAGES STEPS
//
// One pointer in each page of 4 KiB leads to the next, in a random order that is always the same
// and comes past all of them. Linked statically, it does the same in every run, so that what two
// tools have seen of it can be compared.
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace {

constexpr std::size_t kPageSize = 4096;

/// The multiplier is Knuth's, for MMIX.
std::uint64_t next_random(std::uint64_t& state) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

/// Sattolo's algorithm: a permutation of one cycle.
void link_pages(char* memory, std::size_t pages) {
    const auto link = [&](std::size_t page) -> void*& {
        return *reinterpret_cast<void**>(memory + page * kPageSize);
    };
    for (std::size_t page = 0; page < pages; ++page) link(page) = &link(page);
    std::uint64_t state = 1;
    for (std::size_t page = pages; page > 1; --page)
        std::swap(link(page - 1), link(next_random(state) % (page - 1)));
}

/// The compiler may not think that it knows where the chase ends.
void* volatile end_of_chase;

}  // namespace

int main(int argc, char* argv[]) {
    const std::size_t pages = argc == 3 ? std::strtoull(argv[1], nullptr, 10) : 0;
    const std::size_t steps = argc == 3 ? std::strtoull(argv[2], nullptr, 10) : 0;
    if (pages == 0) {
        std::fputs("usage: chase PAGES STEPS\n", stderr);
        return 2;
    }
    void* const memory = ::mmap(nullptr, pages * kPageSize, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        std::perror("chase");
        return 1;
    }
    link_pages(static_cast<char*>(memory), pages);
    void* at = memory;
    for (std::size_t step = 0; step < steps; ++step) at = *static_cast<void**>(at);
    end_of_chase = at;
    return 0;
}
