// SPDX-License-Identifier: Apache-2.0
// The conformance suite of invalidation: every instruction over every shape of TLB. What has to go
// is written here entry by entry, by the manuals; what goes beyond that is over-flushing, what
// stays of it under-flushing, and both fail.
#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

#include "models/tlb/tlb_array.hpp"
#include "models/walker/walk_cache.hpp"
#include "rmap/types/check.hpp"
#include "tests/support/tlb_configs.hpp"

namespace mmusim::test {

using models::ArrayGeometry;
using models::TlbArray;
using models::TlbConfig;
using models::TlbTag;
using models::Translation;
using rmap::Access;
using rmap::PageNumber;
using rmap::TlbOperation;
using rmap::VmId;
using Kind = TlbOperation::Kind;

namespace {

constexpr VmId kOwn = 7;  ///< the guest that an instruction names, where it names one
constexpr rmap::Pcid kSpace = 3;
constexpr std::uint64_t kPage = 0x40000 + 5;     ///< the page that it names; in a 2 MiB page
constexpr std::uint64_t kFarPage = 0x80000 + 5;  ///< beyond every size that holds kPage

/// What is cached, in the order of the columns below.
enum Entry : unsigned {
    kOwnSpaceOwnPage,
    kOwnSpaceFarPage,
    kOtherSpaceOwnPage,
    kOtherSpaceFarPage,
    kGlobalOwnPage,
    kGlobalFarPage,
    kOtherGuest,  ///< own space, own page
    kHost,        ///< likewise; where the instruction names a guest
    kEntries
};

/// '-' goes, 'k' is kept. By Entry; of tables those of the first stage, which are never global.
struct Expected {
    Kind kind;
    const char* translations;
    const char* tables;
    const char* second_stage;  ///< guest-physical pages: own, far, other guest's own
};

constexpr Expected kExpected[] = {
    {Kind::kInvlpg, "-kkk-kkk", "--kk..kk", "kkk"},
    {Kind::kInvpcidAddress, "-kkkkkkk", "-kkk..kk", "kkk"},
    {Kind::kInvpcidContext, "--kkkkkk", "--kk..kk", "kkk"},
    {Kind::kAll, "------kk", "----..kk", "kkk"},
    {Kind::kInvpcidAllNonGlobal, "----kkkk", "----..kk", "kkk"},
    {Kind::kCr3Write, "--kkkkkk", "--kk..kk", "kkk"},
    {Kind::kCr3WriteNoFlush, "kkkkkkkk", "kkkk..kk", "kkk"},
    {Kind::kInvept, "------kk", "----..kk", "--k"},
    {Kind::kInveptAll, "-------k", "----..-k", "---"},
    {Kind::kInvvpidAddress, "-k-k-kkk", "-k-k..kk", "kkk"},
    {Kind::kInvvpidContext, "------kk", "----..kk", "kkk"},
    {Kind::kInvvpidAll, "-------k", "----..-k", "kkk"},
    {Kind::kInvvpidNonGlobal, "----kkkk", "----..kk", "kkk"},
    {Kind::kTlbiVae1, "-kkk-kkk", "-kkk..kk", "kkk"},
    {Kind::kTlbiVale1, "-kkk-kkk", "kkkk..kk", "kkk"},
    {Kind::kTlbiVaae1, "-k-k-kkk", "-k-k..kk", "kkk"},
    {Kind::kTlbiVaale1, "-k-k-kkk", "kkkk..kk", "kkk"},
    {Kind::kTlbiRvae1, "-kkk-kkk", "-kkk..kk", "kkk"},
    {Kind::kTlbiRvale1, "-kkk-kkk", "kkkk..kk", "kkk"},
    {Kind::kTlbiAside1, "--kkkkkk", "--kk..kk", "kkk"},
    {Kind::kTlbiVmalle1, "------kk", "----..kk", "kkk"},
    {Kind::kTlbiIpas2e1, "kkkkkkkk", "kkkk..kk", "-kk"},
    {Kind::kTlbiVmalls12e1, "------kk", "----..kk", "--k"},
    {Kind::kTlbiAlle1, "-------k", "----..-k", "---"},
    {Kind::kSfenceVma, "------kk", "----..kk", "kkk"},
    {Kind::kSfenceVmaAddress, "-k-k-kkk", "kkkk..kk", "kkk"},
    {Kind::kSfenceVmaAsid, "--kkkkkk", "--kk..kk", "kkk"},
    {Kind::kSfenceVmaAddressAsid, "-kkkkkkk", "kkkk..kk", "kkk"},
    {Kind::kHfenceVvma, "------kk", "----..kk", "kkk"},
    {Kind::kHfenceGvma, "------kk", "----..kk", "--k"},
    {Kind::kHfenceGvmaAll, "-------k", "----..-k", "---"},
};

/// One that acts on `kPage` of `kSpace` in the guest `kOwn`.
TlbOperation operation_of(Kind kind) {
    TlbOperation operation;
    operation.kind = kind;
    operation.pcid = kSpace;
    operation.address = rmap::address_of(PageNumber{kPage});
    operation.vm = kOwn;
    operation.guest = {operation.address.value};
    return operation;
}

/// A shape of TLB, and of which size the pages in it are.
struct Shape {
    const char* name;
    TlbConfig config;
    unsigned order;
};

std::vector<Shape> shapes() {
    constexpr unsigned kLarge = rmap::kLargeOrder;
    const auto shared = [](ArrayGeometry geometry, std::vector<unsigned> orders) {
        TlbConfig config;
        config.arrays = {{"shared", std::move(orders), geometry}};
        return config;
    };
    const ArrayGeometry folded{1536, 12, models::IndexFunction::kXorFold,
                               models::ReplacementPolicy::kMruPlusOnePlru4};
    const ArrayGeometry plru{64, 8, models::IndexFunction::kPlain,
                             models::ReplacementPolicy::kTreePlru};
    const ArrayGeometry odd{60, 12, models::IndexFunction::kPlain, models::ReplacementPolicy::kNru};
    return {
        {"small pages of a split level", split_tlb({64, 8}, {32, 8}), 0},
        {"large pages of a split level", split_tlb({64, 8}, {32, 8}), kLarge},
        {"small pages, fully associative", shared({64, 64}, {0, kLarge}), 0},
        {"large pages, fully associative", shared({64, 64}, {0, kLarge}), kLarge},
        {"small pages, folded index", shared(folded, {0, kLarge}), 0},
        {"large pages, folded index", shared(folded, {0, kLarge}), kLarge},
        {"small pages, tree-PLRU", shared(plru, {0}), 0},
        {"large pages in pieces, tree-PLRU", shared(plru, {0}), kLarge},
        {"1 GiB pages in pieces of 2 MiB", shared(folded, {0, kLarge}), 18},
        {"five sets", shared(odd, {0, kLarge}), 0},
        {"contiguous groups of 64 KiB", shared(odd, {0, 4, kLarge}), 4},
        {"granule of 16 KiB", shared({64, 8}, {2, 7, 13}), 2},
        {"granule of 64 KiB", shared({64, 8}, {4, 17}), 4},
    };
}

Translation page_of_size(unsigned order, bool global) {
    Translation translation;
    translation.frame = rmap::FrameNumber{1ull << 30};
    translation.order = static_cast<std::uint8_t>(order);
    translation.global = global;
    return translation;
}

struct Cached {
    PageNumber page;
    TlbTag tag;
    bool global;
};

/// A global and another entry of the same page would answer for each other: they are not cached at
/// the same time.
std::vector<Cached> cached() {
    std::vector<Cached> entries(kEntries, {PageNumber{kPage}, {kSpace, kOwn}, false});
    entries[kOwnSpaceFarPage].page = entries[kOtherSpaceFarPage].page = PageNumber{kFarPage};
    entries[kOtherSpaceOwnPage].tag = entries[kOtherSpaceFarPage].tag = {kSpace + 1, kOwn};
    entries[kGlobalOwnPage] = {PageNumber{kPage}, {kSpace, kOwn}, true};
    entries[kGlobalFarPage] = {PageNumber{kFarPage}, {kSpace, kOwn}, true};
    entries[kOtherGuest].tag = {kSpace, kOwn + 1};
    entries[kHost].tag = {kSpace, 0};
    return entries;
}

std::uint64_t address(const Cached& entry) { return rmap::address_of(entry.page).value; }
bool is_global(unsigned entry) { return entry == kGlobalOwnPage || entry == kGlobalFarPage; }

/// What is left of the entries, global ones or the others, after the scope has gone.
std::string kept(const Shape& shape, const std::optional<models::TlbScope>& scope) {
    std::string result(kEntries, ' ');
    for (const bool globals : {false, true}) {
        TlbArray tlb(shape.config);
        const auto entries = cached();
        for (unsigned n = 0; n < kEntries; ++n)
            if (is_global(n) == globals)
                tlb.insert(entries[n].page, entries[n].tag, page_of_size(shape.order, globals));
        if (scope && scope->stages != models::TlbScope::Stages::kSecond) tlb.invalidate(*scope);
        for (unsigned n = 0; n < kEntries; ++n)
            if (is_global(n) == globals)
                result[n] = tlb.lookup(entries[n].page, entries[n].tag, Access::kRead) ? 'k' : '-';
    }
    return result;
}

/// The same of the tables that entries of level 2 lead to.
std::string kept_tables(const rmap::PageTableFormat& format,
                        const std::optional<models::TlbScope>& scope) {
    models::WalkCache cache({"cache", 2, {64, 8}, {}}, format);
    const auto entries = cached();
    for (unsigned n = 0; n < kEntries; ++n)
        if (!is_global(n)) cache.insert(entries[n].tag, address(entries[n]), {});
    if (scope && scope->stages != models::TlbScope::Stages::kSecond) cache.invalidate(*scope);
    std::string result(kEntries, '.');
    for (unsigned n = 0; n < kEntries; ++n)
        if (!is_global(n))
            result[n] = cache.lookup(entries[n].tag, address(entries[n])) ? 'k' : '-';
    return result;
}

std::string kept_of_second_stage(const Shape& shape, const std::optional<models::TlbScope>& scope) {
    TlbArray tlb(shape.config);
    const Cached entries[] = {{PageNumber{kPage}, {0, kOwn}, false},
                              {PageNumber{kFarPage}, {0, kOwn}, false},
                              {PageNumber{kPage}, {0, kOwn + 1}, false}};
    for (const auto& entry : entries)
        tlb.insert(entry.page, entry.tag, page_of_size(shape.order, false));
    if (scope && scope->stages != models::TlbScope::Stages::kFirst)
        tlb.invalidate(scope->of_second_stage());
    std::string result;
    for (const auto& entry : entries)
        result += tlb.lookup(entry.page, entry.tag, Access::kRead) ? 'k' : '-';
    return result;
}

}  // namespace

TEST_CASE("invalidation scope: the suite knows every instruction", "[unit][tlb]") {
    std::set<std::string> names;
    for (const auto& instruction : models::tlb_instructions()) {
        CAPTURE(instruction.name);
        CHECK(names.insert(std::string(instruction.name)).second);
        CHECK_FALSE(instruction.source.empty());
        CHECK(std::count_if(std::begin(kExpected), std::end(kExpected), [&](const auto& expected) {
                  return expected.kind == instruction.kind;
              }) == 1);
    }
    CHECK(models::tlb_instructions().size() == std::size(kExpected));
}

TEST_CASE(
    "invalidation scope: every instruction drops its own entries from every TLB and no others",
    "[unit][tlb]") {
    for (const auto& shape : shapes())
        for (const auto& expected : kExpected) {
            const auto scope = models::scope_of(operation_of(expected.kind));
            CAPTURE(shape.name, static_cast<unsigned>(expected.kind));
            CHECK(kept(shape, scope) == expected.translations);
            CHECK(kept_of_second_stage(shape, scope) == expected.second_stage);
        }
}

TEST_CASE("invalidation scope: paging-structure caches of every format follow their own column",
          "[unit][tlb]") {
    for (const auto* format : rmap::page_table_formats())
        for (const auto& expected : kExpected) {
            CAPTURE(format->name, static_cast<unsigned>(expected.kind));
            CHECK(kept_tables(*format, models::scope_of(operation_of(expected.kind))) ==
                  expected.tables);
        }
}

TEST_CASE("invalidation scope: an instruction of the host leaves every guest alone",
          "[unit][tlb]") {
    for (const auto kind :
         {Kind::kInvlpg, Kind::kAll, Kind::kCr3Write, Kind::kTlbiVmalle1, Kind::kSfenceVma}) {
        auto operation = operation_of(kind);
        operation.vm = 0;
        TlbArray tlb(split_tlb({64, 8}, {32, 8}));
        for (const VmId vm : {VmId{0}, kOwn})
            tlb.insert(PageNumber{kPage}, {kSpace, vm}, page_of_size(0, false));
        CHECK(tlb.invalidate(*models::scope_of(operation)) == 1);
        CHECK(tlb.lookup(PageNumber{kPage}, {kSpace, kOwn}, Access::kRead));
    }
}

TEST_CASE("invalidation scope: an operation on a second stage names a guest", "[unit][tlb]") {
    for (const auto kind :
         {Kind::kInvept, Kind::kTlbiIpas2e1, Kind::kTlbiVmalls12e1, Kind::kHfenceGvma}) {
        auto operation = operation_of(kind);
        operation.vm = 0;
        CHECK_THROWS_AS(models::scope_of(operation), rmap::InvariantError);
    }
}

TEST_CASE("invalidation scope: every piece of a large page goes with any of its addresses",
          "[unit][tlb]") {
    TlbConfig config;
    config.arrays = {{"small", {0}, {64, 4}}};
    for (const std::uint64_t named : {0u, 5u, 511u}) {
        TlbArray tlb(config);
        for (const std::uint64_t piece : {0u, 5u, 17u, 511u, 512u})
            tlb.insert(PageNumber{0x40000 + piece}, {kSpace, 0},
                       page_of_size(rmap::kLargeOrder, false));
        auto operation = operation_of(Kind::kInvlpg);
        operation.vm = 0;
        operation.address = rmap::address_of(PageNumber{0x40000 + named});
        CHECK(tlb.invalidate(*models::scope_of(operation)) == 4);
        CHECK(tlb.lookup(PageNumber{0x40000 + 512}, {kSpace, 0}, Access::kRead));
    }
}

TEST_CASE("invalidation scope: a range drops the pages that it overlaps and no neighbour",
          "[unit][tlb]") {
    for (const std::uint64_t pages : {1u, 2u, 63u, 64u, 65u, 300u}) {
        TlbArray tlb(split_tlb({4096, 4}, {32, 4}));
        for (std::uint64_t page = 0; page < 400; ++page)
            tlb.insert(PageNumber{kPage + page}, {kSpace, 0}, page_of_size(0, false));
        auto operation = operation_of(Kind::kTlbiRvae1);
        operation.vm = 0;
        operation.address = rmap::address_of(PageNumber{kPage + 20});
        operation.pages = pages;
        CHECK(tlb.invalidate(*models::scope_of(operation)) == pages);
        CHECK(tlb.lookup(PageNumber{kPage + 19}, {kSpace, 0}, Access::kRead));
        CHECK_FALSE(tlb.lookup(PageNumber{kPage + 20}, {kSpace, 0}, Access::kRead));
        CHECK_FALSE(tlb.lookup(PageNumber{kPage + 19 + pages}, {kSpace, 0}, Access::kRead));
        CHECK(tlb.lookup(PageNumber{kPage + 20 + pages}, {kSpace, 0}, Access::kRead));
    }
}

}  // namespace mmusim::test
