from pointillist.report.figures import loss_curves


def step(number, **terms):
    return {"event": "step", "step": number, "terms": terms}


def test_a_curve_for_every_term_and_for_validation():
    events = [step(n, pce=1 / n, crf=n / 10) if n > 5 else step(n, pce=1 / n) for n in range(1, 11)]
    events.append({"event": "validation", "step": 10, "partial_ce": 0.5})
    svg = loss_curves(events)
    assert svg.startswith("<svg")
    assert svg.rstrip().endswith("</svg>")
    assert svg.count('id="line2d_') >= 3


def test_nothing_logged_is_no_curve():
    assert loss_curves([{"event": "start"}]) == ""
