// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <tlm>
#include <vector>

namespace mmusim::models {

/// A payload with an extension of type E attached for good.
template <class E>
class OwnPayload {
public:
    OwnPayload() { payload_.set_extension(&extension_); }
    ~OwnPayload() { payload_.clear_extension(&extension_); }
    OwnPayload(const OwnPayload&) = delete;
    OwnPayload& operator=(const OwnPayload&) = delete;

    /// For the next transaction; the extension stays as it is.
    tlm::tlm_generic_payload& start() {
        payload_.set_response_status(tlm::TLM_INCOMPLETE_RESPONSE);
        return payload_;
    }
    tlm::tlm_generic_payload& payload() { return payload_; }
    E& extension() { return extension_; }
    const E& extension() const { return extension_; }

private:
    E extension_;
    tlm::tlm_generic_payload payload_;
};

/// Payloads with one extension of type E attached for good, lent out one at a time per nested
/// call. Neither is constructed on the path of an access: a set-up costs a few stores.
template <class E>
class PayloadPool {
public:
    /// A payload on loan; goes back to the pool at the end of the scope.
    class Loan {
    public:
        explicit Loan(PayloadPool& pool) : pool_(pool), entry_(pool.borrow()) {}
        ~Loan() { --pool_.lent_; }
        Loan(const Loan&) = delete;
        Loan& operator=(const Loan&) = delete;

        tlm::tlm_generic_payload& payload() { return entry_.payload(); }
        E& extension() { return entry_.extension(); }

    private:
        PayloadPool& pool_;
        OwnPayload<E>& entry_;
    };

private:
    OwnPayload<E>& borrow() {
        if (lent_ == entries_.size()) entries_.push_back(std::make_unique<OwnPayload<E>>());
        OwnPayload<E>& entry = *entries_[lent_++];
        entry.start();
        return entry;
    }

    std::vector<std::unique_ptr<OwnPayload<E>>> entries_;
    std::size_t lent_ = 0;
};

/// The extension that the protocol of the socket demands. Its absence is a broken binding.
template <class E>
E& extension_of(tlm::tlm_generic_payload& trans, const char* module) {
    E* extension = trans.get_extension<E>();
    if (!extension) SC_REPORT_ERROR(module, "payload without the extension of this socket");
    return *extension;
}

}  // namespace mmusim::models
