// SPDX-License-Identifier: Apache-2.0
#include <tlm_utils/passthrough_target_socket.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <catch2/catch.hpp>

#include "models/tlm/coherence_extension.hpp"
#include "models/tlm/device_tlb_invalidation_extension.hpp"
#include "models/tlm/dma_translation_extension.hpp"
#include "models/tlm/doorbell_extension.hpp"
#include "models/tlm/interrupt_extension.hpp"
#include "models/tlm/pooled_payload.hpp"
#include "models/tlm/protocol_checker_module.hpp"
#include "models/tlm/translation_extension.hpp"

namespace mmusim::test {

namespace {

/// Answers as the test tells it to.
struct Target final : sc_core::sc_module {
    tlm_utils::passthrough_target_socket<Target> socket{"socket"};
    std::function<void(tlm::tlm_generic_payload&, sc_core::sc_time&)> answer;

    explicit Target(const sc_core::sc_module_name& name) : sc_module(name) {
        socket.register_b_transport(this, &Target::b_transport);
    }
    void b_transport(tlm::tlm_generic_payload& trans, sc_core::sc_time& delay) {
        answer(trans, delay);
    }
};

struct Initiator final : sc_core::sc_module {
    tlm_utils::simple_initiator_socket<Initiator> socket{"socket"};
    explicit Initiator(const sc_core::sc_module_name& name) : sc_module(name) {}
};

/// Whether a clone and a copy of an extension on which `set` was called are both the `same`.
template <class E, class Set, class Same>
bool copies_keep(Set set, Same same) {
    E original;
    set(original);
    const std::unique_ptr<E> clone(dynamic_cast<E*>(original.clone()));
    E copy;
    copy.copy_from(original);
    return clone && same(*clone) && same(copy);
}

}  // namespace

TEST_CASE("tlm: clone and copy_from keep every field of each extension", "[component][tlm]") {
    CHECK(copies_keep<models::TranslationExtension>(
        [](auto& e) {
            e.access = rmap::Access::kWrite;
            e.pcid = 7;
            e.root = rmap::PhysAddr{0x1000};
            e.translation.frame = rmap::FrameNumber{9};
            e.fault = rmap::Fault::kSecondStage;
            e.vm = 5;
            e.ept_root = rmap::PhysAddr{0x2000};
            e.part = rmap::Part::kGuest;
            e.violation = {rmap::GuestPhysAddr{0x3000}, rmap::Access::kWrite};
        },
        [](const auto& e) {
            const bool asked = e.access == rmap::Access::kWrite && e.pcid == 7 &&
                               e.root.value == 0x1000 && e.vm == 5 && e.ept_root.value == 0x2000 &&
                               e.part == rmap::Part::kGuest;
            return asked && e.translation.frame.value == 9 &&
                   e.fault == rmap::Fault::kSecondStage && e.violation.address.value == 0x3000 &&
                   e.violation.access == rmap::Access::kWrite;
        }));
    CHECK(copies_keep<models::MaintenanceExtension>(
        [](auto& e) {
            e.operation.pcid = 3;
            e.invalidated = 5;
        },
        [](const auto& e) { return e.operation.pcid == 3 && e.invalidated == 5; }));
    CHECK(copies_keep<models::CoherenceExtension>(
        [](auto& e) {
            e.part = rmap::Part::kSwap;
            e.word = {11, 12};
        },
        [](const auto& e) {
            return e.part == rmap::Part::kSwap && e.word.value == 11 && e.word.generation == 12;
        }));
    CHECK(copies_keep<models::InterruptExtension>(
        [](auto& e) {
            e.vector = 251;
            e.targets.set(70);
            e.key = {rmap::Instant{5}, 2, 9};
        },
        [](const auto& e) {
            return e.vector == 251 && e.targets.test(70) && e.key.sequence == 9;
        }));
    CHECK(copies_keep<models::DoorbellExtension>(
        [](auto& e) {
            e.key = {rmap::Instant{5}, 2, 9};
            e.doorbell.tail = 48;
        },
        [](const auto& e) { return e.key.sequence == 9 && e.doorbell.tail == 48; }));
    CHECK(copies_keep<models::DmaTranslationExtension>(
        [](auto& e) {
            e.key = {rmap::Instant{5}, 2, 9};
            e.request.pasid = 77;
        },
        [](const auto& e) { return e.key.sequence == 9 && e.request.pasid == 77; }));
    CHECK(copies_keep<models::DeviceTlbInvalidationExtension>(
        [](auto& e) {
            e.key = {rmap::Instant{5}, 2, 9};
            e.invalidation.range = {rmap::VirtAddr{0x4000}, rmap::VirtAddr{0x6000}};
        },
        [](const auto& e) {
            return e.key.sequence == 9 && e.invalidation.range.start == rmap::VirtAddr{0x4000};
        }));
}

TEST_CASE("tlm: a payload on loan is reused and nested loans are different ones",
          "[component][tlm]") {
    models::PayloadPool<models::MaintenanceExtension> pool;
    tlm::tlm_generic_payload* first = nullptr;
    {
        models::PayloadPool<models::MaintenanceExtension>::Loan outer(pool);
        first = &outer.payload();
        outer.payload().set_response_status(tlm::TLM_OK_RESPONSE);
        models::PayloadPool<models::MaintenanceExtension>::Loan inner(pool);
        CHECK(&inner.payload() != first);
        CHECK(inner.payload().get_extension<models::MaintenanceExtension>() == &inner.extension());
    }
    models::PayloadPool<models::MaintenanceExtension>::Loan again(pool);
    CHECK(&again.payload() == first);
    CHECK(again.payload().get_response_status() == tlm::TLM_INCOMPLETE_RESPONSE);
}

TEST_CASE("tlm: the protocol checker names every breach of the base protocol", "[component][tlm]") {
    Initiator initiator("initiator");
    models::ProtocolCheckerModule checker("checker");
    Target target("target");
    initiator.socket.bind(checker.initiator_side);
    checker.target_side.bind(target.socket);
    sc_core::sc_start(sc_core::SC_ZERO_TIME);

    tlm::tlm_generic_payload trans;
    const auto transport =
        [&](std::function<void(tlm::tlm_generic_payload&, sc_core::sc_time&)> f) {
            target.answer = std::move(f);
            auto delay = sc_core::sc_time(10, sc_core::SC_NS);
            initiator.socket->b_transport(trans, delay);
        };
    const auto ok = [](tlm::tlm_generic_payload& t, sc_core::sc_time&) {
        t.set_response_status(tlm::TLM_OK_RESPONSE);
    };
    using Catch::Contains;
    const auto begin = [&] { trans.set_response_status(tlm::TLM_INCOMPLETE_RESPONSE); };

    begin();
    CHECK_NOTHROW(transport(ok));
    CHECK_THROWS_WITH(transport(ok), Contains("TLM_INCOMPLETE_RESPONSE"));
    begin();
    CHECK_THROWS_WITH(transport([](auto&, auto&) {}), Contains("response status"));
    begin();
    CHECK_THROWS_WITH(transport([&](auto& t, auto& d) {
                          ok(t, d);
                          t.set_address(t.get_address() + 8);
                      }),
                      Contains("command or address"));
    begin();
    CHECK_THROWS_WITH(transport([&](auto& t, auto& d) {
                          ok(t, d);
                          d = sc_core::SC_ZERO_TIME;
                      }),
                      Contains("run backwards"));
    CHECK(checker.transactions() == 5);
}

}  // namespace mmusim::test
