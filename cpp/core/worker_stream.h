// A stream as its worker has it: turns, time, and frames of its host. Worker thread only.
#pragma once

#include <memory>

#include "core/clock.h"
#include "core/mount.h"
#include "exchange_generated.h"

namespace tsf::core {

class Channel;

class WorkerStream {
 public:
  virtual ~WorkerStream() = default;

  // ---- the worker's run; none of Envoy's hooks is on the stack of this stream ----
  virtual void take_turn() = 0;
  virtual void on_deadline(Nanos now) = 0;
  virtual Nanos deadline() const = 0;
  virtual void on_channel_lost() = 0;
  // Of one whose channel is lost: it was a replay there, and it was not answered.
  virtual bool waits_again() const = 0;
  virtual const Channel* channel() const = 0;
  virtual std::unique_ptr<Waker> make_waker() = 0;

  // ---- frames from the host; false: the frame breaks a rule and the host is to be dropped ----
  virtual bool on_answer(const wire::Answer& frame) = 0;
  virtual bool on_ops(const wire::Ops& frame) = 0;
  virtual bool on_output(const wire::Output& frame) = 0;
  virtual bool on_local_reply(const wire::LocalReply& frame) = 0;
  virtual bool on_reply(const wire::Reply& frame) = 0;
  virtual bool on_fail(const wire::Fail& frame) = 0;
  virtual bool on_query(const wire::Query& frame) = 0;
  virtual bool on_extend(const wire::Extend& frame) = 0;
  virtual bool on_act(const wire::Act& frame) = 0;
  virtual bool on_call(const wire::Call& frame) = 0;
};

}  // namespace tsf::core
