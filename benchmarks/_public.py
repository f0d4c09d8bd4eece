"""What the public codes compute, each written anew from a description of it and kept to its operations.

They take IGNORE where the public codes take the number of classes, and nothing else of ours.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812

from pointillist.types import IGNORE

_SMOOTH, _LOG_SHIFT = 1e-5, 1e-6


def partial_ce(logits, label):
    """WSL4MIS: cross-entropy that ignores one label."""
    return F.cross_entropy(logits, label, ignore_index=IGNORE)


def soft_ce(logits, target):
    """CycleMix: logarithm of shifted probabilities, divided by all pixels."""
    return -(target * torch.log(logits.softmax(1) + 1e-12)).sum() / target[:, 0].numel()


def dice(probabilities, label):
    """WSL4MIS ``DiceLoss``: a one-hot label, then three sums a class."""
    target = _one_hot(label, probabilities.shape[1])
    return sum(_dice_of(*one, 1) for one in zip(probabilities.unbind(1), target.unbind(1), strict=True)) / len(
        target[0]
    )


def partial_dice(probabilities, label):
    """WSL4MIS ``pDLoss``: as ``DiceLoss``; the mask has an axis too many, so each image meets the masks of all."""
    target = _one_hot(label, probabilities.shape[1])
    known = (label != IGNORE).unsqueeze(1).float()
    pairs = zip(probabilities.unbind(1), target.unbind(1), strict=True)
    return sum(_dice_of(*one, known) for one in pairs) / len(target[0])


def mixed_pseudo(first, second, beta):
    """WSL4MIS, DMPLS: both predictions against the hard label of their mix, by ``pDLoss``."""
    label = (beta * first.detach() + (1 - beta) * second.detach()).argmax(1)
    return 0.5 * (partial_dice(first, label) + partial_dice(second, label))


def noise_robust_dice(probabilities, label, gamma=1.5):
    """SC-Net, after COPLE-Net: pixels as rows, classes as columns; without a label a row of zeros."""
    classes = probabilities.shape[1]
    flat = probabilities.permute(0, 2, 3, 1).reshape(-1, classes)
    target = _one_hot(label, classes).permute(0, 2, 3, 1).reshape(-1, classes)
    error = ((flat - target).abs() ** gamma).sum(0)
    return (error / ((flat + target).sum(0) + _SMOOTH)).mean()


def entropy(logits):
    """WSL4MIS ``entropy_loss``: softmax, then the logarithm of shifted probabilities."""
    p = logits.softmax(1)
    return (-(p * torch.log(p + _LOG_SHIFT)).sum(1) / math.log(p.shape[1])).mean()


def total_variation(probabilities):
    """jongcye/CNN_MumfordShah_Loss: absolute differences of neighbours, summed."""
    rows = (probabilities[:, :, 1:] - probabilities[:, :, :-1]).abs()
    columns = (probabilities[..., 1:] - probabilities[..., :-1]).abs()
    return rows.sum() + columns.sum()


def contour(counted):
    """WSL4MIS ``tv_loss``: erosion and dilation as max-pools, of what is left of the prediction."""
    eroded = -F.max_pool2d(-counted, 3, 1, 1)
    return torch.relu(F.max_pool2d(eroded, 3, 1, 1) - eroded).abs().mean()


def mumford_shah(weights, values, lengths, mu):
    """jongcye/CNN_MumfordShah_Loss: weighted squares around centroids, which take a gradient.

    Args:
        weights: ``(b, k, h, w)``; WSL4MIS gives the image here.
        values: ``(b, c, h, w)``; WSL4MIS gives the prediction here.
        lengths: ``(b, k, h, w)`` whose variation is added.
        mu: its weight.
    """
    level = 0
    for value in values.unbind(1):
        same = value.unsqueeze(1).expand(-1, weights.shape[1], -1, -1)
        centre = ((same * weights).sum((2, 3)) / weights.sum((2, 3)))[..., None, None]
        off = same - centre.expand_as(same)
        level = level + (off * off * weights).sum()
    return level + mu * total_variation(lengths)


def intensity_variance(probabilities, image):
    """WSL4MIS, inter- and intra-class variance: deviations of the products of image and prediction."""
    products = (image * probabilities).flatten(2)
    return products.mean(2).std(1).mean() - products.std(2).mean()


def certain_consistency(logits, teacher_logits, expected, share):
    """UA-MT, USTM: squared differences of two softmaxes where the mean of the passes has little entropy."""
    uncertainty = -(expected * torch.log(expected + _LOG_SHIFT)).sum(1, keepdim=True)
    mask = (uncertainty < share * math.log(2)).float()
    distance = (logits.softmax(1) - teacher_logits.softmax(1)) ** 2
    return (mask * distance).sum() / (2 * mask.sum() + 1e-16)


def mutual_consistency(first, second):
    """PCLMix: mean squared difference of logits."""
    return F.mse_loss(first, second)


def mutual_probabilities(first, second):
    """PCLMix, equation 9 of the paper: mean squared difference of softmaxes."""
    return F.mse_loss(first.softmax(1), second.softmax(1))


def pixel_contrast(anchors, label, memory, memory_label, tau):
    """PCLMix, after Wang et al.: the whole table of pairs, and a mask that takes the diagonal out of it."""
    mask = (label[:, None] == memory_label).float()
    logits = F.normalize(anchors, dim=1) @ F.normalize(memory, dim=1).T / tau
    logits = logits - logits.max(1, keepdim=True).values.detach()
    negatives = (logits.exp() * (1 - mask)).sum(1, keepdim=True)
    others = torch.ones_like(mask).scatter_(1, torch.arange(len(mask))[:, None], 0)
    positives = mask * others
    log_probabilities = logits - torch.log(logits.exp() + negatives)
    return -((positives * log_probabilities).sum(1) / positives.sum(1)).mean()


def pixel_cosine(first, second):
    """CycleMix: one minus the mean cosine of class vectors."""
    return 1 - F.cosine_similarity(first, second, dim=1).mean()


def class_attraction(features, memory, feature_scores, memory_scores):
    """SC-Net, after Alonso et al.: the table of distances, weighted by its rows and by its columns."""
    distance = 1 - F.normalize(features, dim=1) @ F.normalize(memory, dim=1).T
    for scores, shape in ((feature_scores, (-1, 1)), (memory_scores, (1, -1))):
        weights = scores.sigmoid()
        distance = distance * (len(weights) / weights.sum() * weights).view(shape)
    return distance.mean()


def contrastive_variance(p, image, label, draws, *, lambda_cv, mu, tau):
    """PSCV has no public code: maps as the equations have them, and one cosine after the other."""
    images, classes = p.shape[:2]
    centres = (image * p).sum((2, 3), keepdim=True) / p.sum((2, 3), keepdim=True)
    z = ((image - centres) ** 2 * p).flatten(2)
    there = [(n, k) for n in range(images) for k in range(classes) if (label[n] == k).any()]
    terms = []
    for n, k in there:
        m = max((i for i, j in there if i != n and j == k), key=lambda i, n=n: draws[n, i].item())
        pos = torch.exp(F.cosine_similarity(z[n, k], z[m, k], dim=0) / tau)
        neg = 0
        for i, j in there:
            if i != n and j != k:
                neg = neg + torch.exp(F.cosine_similarity(z[n, k], z[i, j], dim=0) / tau)
        terms.append(-torch.log(pos / (pos + neg)))
    return lambda_cv * torch.stack(terms).mean() + mu * total_variation(p) / (images * classes)


def gated_crf(p, image, *, radius, sigma_xy, sigma_rgb, source, destination):
    """LEONOB2014/GatedCRFLoss: features and predictions of every window gathered; pairs beyond the border left out."""
    window, sides = 2 * radius + 1, p.shape[2:]

    def windows(x):
        return F.unfold(x, window, padding=radius).view(len(x), x.shape[1], window**2, *sides)

    axes = [torch.arange(side, dtype=p.dtype) for side in sides]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(len(p), -1, -1, -1) / sigma_xy
    features = torch.cat([place, image / sigma_rgb], 1)
    kernel = (-0.5 * (windows(features) - features.unsqueeze(2)) ** 2).sum(1, keepdim=True).exp()
    inside = windows(source.unsqueeze(1).to(p.dtype))
    inside[:, :, window**2 // 2] = 0
    kernel = kernel * inside * destination[:, None, None]
    pulled = (kernel * windows(p)).sum(2)
    return (kernel.sum() - (pulled * p).sum()) / destination.sum()


def near(sides, radius, sigma, dtype):
    """``(n, n)`` Gaussian of the distance of places of a window, 0 elsewhere; made once and kept."""
    row, column = (_near_on_a_line(side, radius, sigma, dtype) for side in sides)
    return torch.kron(row, column).fill_diagonal_(0)


def attentive_similarity(p, attention, weight, bias, distances, mask):
    """AttenScribble: the similarity of all pairs from whole attention maps, a map of distances, one batched product."""
    symmetric = attention + attention.transpose(2, 3)
    similarity = torch.sigmoid(F.conv2d(symmetric, weight.view(1, -1, 1, 1), bias.view(1))).squeeze(1)
    counted = mask.flatten(1).to(p.dtype)
    pairs = similarity * distances * counted.unsqueeze(1) * counted.unsqueeze(2)
    flat = p.flatten(2).transpose(1, 2)
    return (pairs.sum() - ((pairs @ flat) * flat).sum()) / mask.sum()


def attention(query, key):
    """Whole maps of ``(b, m, n, d)`` queries and keys."""
    return (query / query.shape[3] ** 0.5 @ key.transpose(2, 3)).softmax(3)


@torch.no_grad()
def prototype_label(features, label, classes, similarity=0.8, margin=0.2):
    """No public code: image by image and class by class, as the sentence in the paper of CVM reads."""
    labels = []
    for feature, marks in zip(features, label, strict=True):
        likeness = torch.full((classes, *marks.shape), -1.0)
        for k in marks[marks != IGNORE].unique().tolist():
            prototype = F.normalize(feature[:, marks == k], dim=0).mean(1)
            likeness[k] = F.cosine_similarity(feature, prototype[:, None, None], dim=0)
        best, second = likeness.topk(2, dim=0).values
        sure = (best > similarity) & (best - second > margin) & (marks == IGNORE)
        labels.append(torch.where(sure, likeness.argmax(0), IGNORE))
    return torch.stack(labels)


def dense_crf(probabilities, image, sigma_xy, sigma_rgb):
    """rloss: SᵀWS, here over all pairs, since its lattice is compiled; divided by 1ᵀW1 as ours."""
    energies = []
    for p, kernel in _pairs(probabilities, image, sigma_xy, sigma_rgb):
        energies.append(1 - (p * (p @ kernel)).sum() / kernel.sum())
    return torch.stack(energies).mean()


def normalized_cut(probabilities, image, sigma_xy, sigma_rgb):
    """rloss: the share of a class's affinity that leads out of it, here over all pairs."""
    cuts = []
    for p, kernel in _pairs(probabilities, image, sigma_xy, sigma_rgb):
        cuts.append(((p * ((1 - p) @ kernel)).sum(1) / (p @ kernel.sum(1))).sum())
    return torch.stack(cuts).mean()


def _pairs(probabilities, image, sigma_xy, sigma_rgb):
    """For each image ``(k, pixels)`` predictions, and the kernel between all of its pixels."""
    axes = [torch.arange(n, dtype=image.dtype) / sigma_xy for n in image.shape[2:]]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    for p, colours in zip(probabilities, image, strict=True):
        features = torch.cat([place, colours / sigma_rgb]).flatten(1)
        distance = sum((one[:, None] - one) ** 2 for one in features)
        yield p.flatten(1), torch.exp(-0.5 * distance)


def _near_on_a_line(side, radius, sigma, dtype):
    """``(side, side)``; the Gaussian of a plane is the product of two of lines."""
    apart = (torch.arange(side)[:, None] - torch.arange(side)).abs()
    return (apart <= radius) * torch.exp(-apart.square().to(dtype) / (2 * sigma**2))


def _one_hot(label, classes):
    """``(b, k, h, w)``, one comparison with a map of the class's number a class."""
    target = label.unsqueeze(1)
    return torch.cat([target == k * torch.ones_like(target) for k in range(classes)], 1).float()


def _dice_of(score, target, known):
    shared = (score * target * known).sum()
    size = (score * score * known).sum() + (target * target * known).sum()
    return 1 - (2 * shared + _SMOOTH) / (size + _SMOOTH)
