// SPDX-License-Identifier: Apache-2.0
#include "rmap/mm/page.hpp"

#include "rmap/types/check.hpp"

namespace mmusim::rmap {

namespace {

constexpr std::uint64_t bit(PageFlag flag) { return static_cast<std::uint64_t>(flag); }

}  // namespace

std::uint64_t Page::fetch_flags(Cpu& cpu, std::uint64_t clear, std::uint64_t set, Part part) {
    return cpu.memory()
        .read_modify_write(
            flags_word(),
            [&](Word old, Instant) {
                return Word{(old.value & ~clear) | set, 0};
            },
            part)
        .value;
}

bool Page::test(Cpu& cpu, PageFlag flag, Part part) const { return flags(cpu, part) & bit(flag); }
void Page::set(Cpu& cpu, PageFlag flag, Part part) { fetch_flags(cpu, 0, bit(flag), part); }
void Page::clear(Cpu& cpu, PageFlag flag, Part part) { fetch_flags(cpu, bit(flag), 0, part); }
bool Page::test_and_set(Cpu& cpu, PageFlag flag, Part part) {
    return fetch_flags(cpu, 0, bit(flag), part) & bit(flag);
}
bool Page::test_and_clear(Cpu& cpu, PageFlag flag, Part part) {
    return fetch_flags(cpu, bit(flag), 0, part) & bit(flag);
}

std::uint64_t Page::flags(Cpu& cpu, Part part) const {
    return cpu.memory().load(flags_word(), part).value;
}
void Page::set_flags(Cpu& cpu, std::uint64_t flags, Part part) {
    cpu.memory().store(flags_word(), {flags, 0}, part);
}

PageMapping Page::mapping(Cpu& cpu) const {
    return {cpu.memory().load(mapping_word(), Part::kPageState).value};
}
void Page::set_mapping(Cpu& cpu, PageMapping mapping) {
    cpu.memory().store(mapping_word(), {mapping.raw, 0}, Part::kPageState);
}

std::uint64_t Page::mapcount(Cpu& cpu) const {
    return cpu.memory().load(mapcount_word(), Part::kPageState).value;
}
std::uint64_t Page::add_mapcount(Cpu& cpu, std::int64_t delta) {
    return cpu.memory().fetch_add(mapcount_word(), delta, Part::kPageState);
}

std::uint64_t Page::refcount(Cpu& cpu) const {
    return cpu.memory().load(refcount_word(), Part::kPageState).value;
}
void Page::set_refcount(Cpu& cpu, std::uint64_t count) {
    cpu.memory().store(refcount_word(), {count, 0}, Part::kPageState);
}
std::uint64_t Page::add_refcount(Cpu& cpu, std::int64_t delta) {
    return cpu.memory().fetch_add(refcount_word(), delta, Part::kPageState);
}

bool Page::get_unless_zero(Cpu& cpu) {
    const auto get = [](Word old, Instant) { return Word{old.value ? old.value + 1 : 0, 0}; };
    return cpu.memory().read_modify_write(refcount_word(), get, Part::kPageState).value != 0;
}

bool Page::freeze(Cpu& cpu, std::uint64_t expected) {
    const auto freeze = [&](Word old, Instant) {
        return Word{old.value == expected ? 0 : old.value, 0};
    };
    return cpu.memory().read_modify_write(refcount_word(), freeze, Part::kPageState).value ==
           expected;
}

void PageList::add_head(Page& page) {
    MMUSIM_CHECK(!page.list_, "a page is on one list at a time");
    page.list_ = this;
    page.previous_ = nullptr;
    page.next_ = head_;
    (head_ ? head_->previous_ : tail_) = &page;
    head_ = &page;
    ++size_;
}

void PageList::add_tail(Page& page) {
    MMUSIM_CHECK(!page.list_, "a page is on one list at a time");
    page.list_ = this;
    page.next_ = nullptr;
    page.previous_ = tail_;
    (tail_ ? tail_->next_ : head_) = &page;
    tail_ = &page;
    ++size_;
}

void PageList::remove(Page& page) {
    MMUSIM_CHECK(page.list_ == this, "the page is on this list");
    (page.previous_ ? page.previous_->next_ : head_) = page.next_;
    (page.next_ ? page.next_->previous_ : tail_) = page.previous_;
    page.list_ = nullptr;
    page.next_ = page.previous_ = nullptr;
    --size_;
}

void PageList::splice_tail(PageList& other) {
    while (!other.empty()) {
        Page& page = other.head();
        other.remove(page);
        add_tail(page);
    }
}

}  // namespace mmusim::rmap
